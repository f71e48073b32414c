//! Contracts that are kept, and those that mean something else than they seem to.

use super::*;

pub(in crate::workspace) fn contract() -> Contract {
    Contract {
        command: vec![b"make".to_vec(), b"-j8".to_vec()],
        root: b"/home/alice/src/app".to_vec(),
        directory: b"/home/alice/src/app/sub".to_vec(),
        umask: 0o022,
        account: Some(wire::Account {
            name: "alice".to_owned(),
            home: b"/home/alice".to_vec(),
            uid: 501,
            gid: 20,
            shell: "/bin/zsh".to_owned(),
        }),
        ..Contract::default()
    }
}

fn refused(change: impl FnOnce(&mut Contract)) -> TermsError {
    let mut contract = contract();
    Terms::parse(&contract).expect("fine before the change");
    change(&mut contract);
    Terms::parse(&contract).expect_err("refused after the change")
}

#[test]
fn an_ordinary_contract_keeps_its_values() {
    let terms = Terms::parse(&contract()).expect("fine");
    assert_eq!(terms.command, ["make", "-j8"]);
    assert_eq!((terms.account.uid, terms.account.gid), (501, 20));
    assert!(!terms.home_is_in_tree());
}

#[test]
fn root_on_the_laptop_is_an_ordinary_user_inside() {
    let mut contract = contract();
    let account = contract.account.as_mut().expect("account");
    (account.uid, account.gid, account.name) = (0, 0, "a b".to_owned());
    let terms = Terms::parse(&contract).expect("fine");
    assert_eq!((terms.account.uid, terms.account.gid), (1000, 1000));
    assert_eq!(terms.account.name, "user");
}

#[test]
fn values_that_mean_something_else_are_refused() {
    use TermsError as E;
    assert_eq!(refused(|c| c.command.clear()), E::NoCommand);
    assert_eq!(refused(|c| c.command = vec![Vec::new()]), E::NoCommand);
    assert_eq!(refused(|c| c.account = None), E::NoAccount);
    assert_eq!(refused(|c| c.umask = 0o1022), E::Umask(0o1022));
    assert!(matches!(refused(|c| c.root = b"src".to_vec()), E::Path { .. }));
    assert!(matches!(refused(|c| c.root = b"/home/../etc".to_vec()), E::Path { .. }));
    assert!(matches!(refused(|c| c.root = b"/usr/src/app".to_vec()), E::Reserved { .. }));
    assert!(matches!(refused(|c| c.root = b"/handoff/app".to_vec()), E::Reserved { .. }));
    assert!(matches!(refused(|c| c.directory = b"/home/alice".to_vec()), E::OutsideRoot { .. }));
    assert!(matches!(
        refused(|c| c.directory = b"/home/alice/src/app2".to_vec()),
        E::OutsideRoot { .. }
    ));
    assert!(matches!(
        refused(|c| c.path_in_tree = vec![b"/home/alice/src/app/a:b".to_vec()]),
        E::Character { .. }
    ));
    assert!(matches!(refused(|c| c.command.push(b"a\0b".to_vec())), E::Character { .. }));
    assert!(matches!(refused(|c| c.caches = vec![b"/home/alice".to_vec()]), E::HidingCache { .. }));
    assert!(matches!(refused(|c| c.command = vec![vec![b'x'; 1 << 18]]), E::TooMany { .. }));
    assert!(matches!(refused(|c| c.caches = vec![b"/c".to_vec(); 65]), E::TooMany { .. }));
}

#[test]
fn a_refused_variable_is_named_and_its_value_is_not() {
    let error = refused(|c| {
        c.environment = vec![wire::EnvironmentVariable {
            name: b"TOKEN".to_vec(),
            value: b"hidden\0".to_vec(),
        }];
    });
    let message = error.to_string();
    assert!(message.contains("TOKEN") && !message.contains("hidden"), "{message}");
}
