//! Whether an answer is one to what a run asks: a pure decision.

use handoff_proto::{
    run::{Run, State},
    wire::{self, answer, answer_request},
};

use super::AnswerError;

/// Longest answer and longest thing said, in bytes: an agent reads its input in lines, and nobody
/// types more than this.
pub(super) const TEXT_BYTES_MAX: usize = 128 << 10;

/// What a human's words to a run come to.
///
/// # Errors
///
/// When the run asks nothing, something else or in another way.
pub(super) fn decide(
    run: &Run,
    id: &str,
    wanted: answer_request::What,
) -> Result<answer::What, AnswerError> {
    let name = || run.name.clone();
    let State::NeedsInput(need) = &run.state else {
        return Err(AnswerError::NothingAsked(name()));
    };
    if !id.is_empty() && need.id != id {
        return Err(AnswerError::Other(name()));
    }
    let is_question = need.kind == wire::QUESTION;
    match wanted {
        answer_request::What::Denied(why) => {
            check_length(&why)?;
            Ok(answer::What::Denied(why))
        }
        answer_request::What::Approved(approved) if !is_question => {
            Ok(answer::What::Approved(approved))
        }
        answer_request::What::Approved(_) => Err(AnswerError::NeedsText(name())),
        _ if !is_question => Err(AnswerError::NeedsPermission(name())),
        answer_request::What::Text(text) => {
            check_length(&text)?;
            if text.trim().is_empty() {
                Err(AnswerError::Nothing)
            } else {
                Ok(answer::What::Text(text))
            }
        }
        answer_request::What::Choices(wire::Choices { numbers }) => {
            if numbers.is_empty() {
                return Err(AnswerError::Nothing);
            }
            if numbers.len() > 1 && !need.several {
                return Err(AnswerError::OneChoice(name()));
            }
            let label = |number: u32| {
                let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                let choice = place.and_then(|place| need.choices.get(place));
                choice.map(|choice| choice.label.clone()).ok_or_else(|| AnswerError::NoSuchChoice {
                    run: name(),
                    number,
                    offered: need.choices.len(),
                })
            };
            let labels: Vec<String> = numbers.into_iter().map(label).collect::<Result<_, _>>()?;
            Ok(answer::What::Text(labels.join(", ")))
        }
    }
}

/// Refuses what is too long to be passed on.
pub(super) fn check_length(text: &str) -> Result<(), AnswerError> {
    let bytes = text.len();
    if bytes <= TEXT_BYTES_MAX {
        Ok(())
    } else {
        Err(AnswerError::TooLong { bytes, limit: TEXT_BYTES_MAX })
    }
}
