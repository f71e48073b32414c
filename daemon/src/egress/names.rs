//! The name server of a fenced network. It asks nobody: a name that the run may reach is at the
//! doors, where the connection itself will tell again whom it is for, and every other does not
//! exist. So no question is passed on; names of allowed hosts are looked up when they are dialled.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use handoff_sandbox::DOOR_ADDRESS;

use super::gateway::Fence;
use super::host::{Authority, Host, TLS_PORT};
use super::notice::{Denial, Reason};

/// How long an answer may be remembered, in seconds: not past a denial that was since allowed.
const TTL: u32 = 10;

/// Longest question by datagram.
const DATAGRAM_MAX: usize = 4096;

/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Answers datagrams until the socket fails.
pub(super) async fn serve_datagrams(fence: &Fence, socket: &UdpSocket) {
    let mut question = [0; DATAGRAM_MAX];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        if let Some(answer) = answer(fence, &question[..length]) {
            // A client that has gone.
            drop(socket.send_to(&answer, from).await);
        }
    }
}

/// Answers the questions of one connection, each after its length (RFC 7766, section 8).
pub(super) async fn serve_stream(fence: Fence, mut stream: TcpStream) {
    while let Ok(Ok(length)) = tokio::time::timeout(SILENCE_MAX, stream.read_u16()).await {
        let mut question = vec![0; length.into()];
        let read = tokio::time::timeout(SILENCE_MAX, stream.read_exact(&mut question)).await;
        let (Ok(Ok(_)), Some(answer)) = (read, answer(&fence, &question)) else { return };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// Answers one question, if it is one.
fn answer(fence: &Fence, bytes: &[u8]) -> Option<Vec<u8>> {
    let question = Message::from_bytes(bytes).ok()?;
    if question.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    let asked = match &question.queries[..] {
        [asked] if question.metadata.op_code == OpCode::Query => asked,
        _ => {
            answer.metadata.response_code = ResponseCode::NotImp;
            return answer.to_vec().ok();
        }
    };
    answer.add_query(asked.clone());
    let address = matches!(asked.query_type(), RecordType::A | RecordType::AAAA);
    match judged(fence, asked.name(), address) {
        false => answer.metadata.response_code = ResponseCode::NXDomain,
        // Other types of a name that is there have no records: the doors have one address.
        true if asked.query_type() == RecordType::A && asked.query_class() == DNSClass::IN => {
            let address = RData::A(A(DOOR_ADDRESS));
            answer.add_answer(Record::from_rdata(asked.name().clone(), TTL, address));
        }
        true => {}
    }
    answer.to_vec().ok()
}

/// Whether a name is at the doors. Only questions for addresses are worth telling about: resolvers
/// ask for much else on their own.
fn judged(fence: &Fence, name: &Name, address: bool) -> bool {
    let text = name.to_ascii();
    match text.parse::<Host>() {
        Ok(Host::Name(name)) => {
            let host = Host::Name(name);
            let known = fence.policy.knows(&host);
            if !known && address {
                let mut denial =
                    Denial::new(&Authority { host, port: TLS_PORT }, Reason::NotListed);
                // A question says nothing of ports.
                denial.port = 0;
                fence.deny(denial);
            }
            known
        }
        Ok(Host::Address(_)) => false,
        Err(error) => {
            fence.deny(Denial::unreadable(&text, error));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use proptest::prelude::*;

    use super::*;
    use crate::egress::policy::Policy;

    fn fence() -> Fence {
        let allow = vec!["allowed.test".parse().expect("a rule")];
        Fence::of(Policy { allow, ..Policy::default() }).0
    }

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 77;
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        message.to_vec().expect("encode")
    }

    fn answered(name: &str, kind: RecordType) -> Message {
        let answer = answer(&fence(), &question(name, kind)).expect("an answer");
        let answer = Message::from_bytes(&answer).expect("decode");
        assert_eq!(answer.metadata.id, 77);
        answer
    }

    #[test]
    fn a_name_on_the_list_is_at_the_doors() {
        for name in ["allowed.test.", "ALLOWED.test."] {
            let answer = answered(name, RecordType::A);
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            assert_eq!(answer.answers[0].data, RData::A(A(DOOR_ADDRESS)));
        }
        let six = answered("allowed.test.", RecordType::AAAA);
        assert_eq!(six.metadata.response_code, ResponseCode::NoError);
        assert!(six.answers.is_empty());
    }

    #[test]
    fn any_other_does_not_exist() {
        for name in ["evil.test.", "secret-data.allowed.test.", "127.0.0.1.", "."] {
            let answer = answered(name, RecordType::A);
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
        }
        assert_eq!(
            answered("evil.test.", RecordType::TXT).metadata.response_code,
            ResponseCode::NXDomain
        );
    }

    #[test]
    fn answers_are_not_answered() {
        let mut message = question("allowed.test.", RecordType::A);
        message[2] |= 0x80;
        assert_eq!(answer(&fence(), &message), None);
        assert_eq!(answer(&fence(), b"x"), None);
    }

    proptest! {
        #[test]
        fn mutated_questions_never_lead_anywhere_else(at in 0..30_usize, byte: u8, cut in 0..30_usize) {
            let mut bytes = question("allowed.test.", RecordType::A);
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut);
            if let Some(answer) = answer(&fence(), &bytes) {
                let answer = Message::from_bytes(&answer).expect("an answer can be read");
                for record in &answer.answers {
                    prop_assert_eq!(&record.data, &RData::A(A(DOOR_ADDRESS)));
                }
            }
        }
    }
}
