//! Our entry among the hooks in a file of JSON; both agents write them alike.
//!
//! Everything else in the file keeps its bytes: order, spaces, what we do not understand.

use serde::Serialize as _;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use super::edit::{Edit, line_end};
use super::json_text::{Node, parse};

/// Before so long an agent waits for an answer; see `hook`.
pub(super) const TIMEOUT_SECONDS: u64 = 600;

const HOOKS: &str = "hooks";
const EVENT: &str = "UserPromptSubmit";

/// Why a file cannot take the entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum HooksError {
    /// It is no JSON.
    #[error("it is no valid JSON")]
    Json(#[from] serde_json::Error),
    /// Something else is where hooks belong.
    #[error("{what} is not {wanted}")]
    Shape {
        /// What.
        what: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
}

/// Whose a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Us,
    Others,
}

/// How to put the entry into the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Added {
    /// The change.
    pub(super) edit: Edit,
    /// How many containers around the entry were made for it.
    pub(super) made: usize,
}

/// The change that adds a hook with this command; none if there is one.
pub(super) fn add(text: &str, command: &str) -> Result<Option<Added>, HooksError> {
    let group = json!({
        HOOKS: [{ "type": "command", "command": command, "timeout": TIMEOUT_SECONDS }],
    });
    if text.trim_ascii().is_empty() {
        let document = json!({ HOOKS: { EVENT: [group] } });
        let inserted = format!("{}\n", pretty(&document, "", "  ", "\n"));
        let edit = Edit { at: 0, removed: text.to_owned(), inserted };
        return Ok(Some(Added { edit, made: 2 }));
    }
    let (value, root) = parse(text)?;
    if position(&value, command).is_some() {
        return Ok(None);
    }
    let shape = |what, wanted| Err(HooksError::Shape { what, wanted });
    if !value.is_object() {
        return shape("the document", "an object");
    }
    let Some(hooks) = root.member(HOOKS) else {
        let edit = insert(text, &root, &root, Some(HOOKS), &json!({ EVENT: [group] }));
        return Ok(Some(Added { edit, made: 2 }));
    };
    if !value[HOOKS].is_object() {
        return shape("`hooks`", "an object");
    }
    let Some(event) = hooks.value.member(EVENT) else {
        let edit = insert(text, &root, &hooks.value, Some(EVENT), &json!([group]));
        return Ok(Some(Added { edit, made: 1 }));
    };
    if event.value.elements().is_none() {
        return shape("`hooks.UserPromptSubmit`", "an array");
    }
    let edit = insert(text, &root, &event.value, None, &group);
    Ok(Some(Added { edit, made: 0 }))
}

/// Where the hook with this command is: the number of its group, and its own in there.
pub(super) fn position(document: &Value, command: &str) -> Option<(usize, usize)> {
    let groups = document[HOOKS][EVENT].as_array()?;
    groups.iter().enumerate().find_map(|(group, value)| {
        let hooks = value[HOOKS].as_array()?;
        let hook = hooks.iter().position(|hook| hook["command"] == command)?;
        Some((group, hook))
    })
}

/// Where each hook of our event is, in their order, and whether it has this command.
pub(super) fn positions(text: &str, command: &str) -> Vec<((usize, usize), Owner)> {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let groups = document[HOOKS][EVENT].as_array().into_iter().flatten().enumerate();
    let hooks = groups.flat_map(|(group, value)| {
        let hooks = value[HOOKS].as_array().into_iter().flatten().enumerate();
        hooks.map(move |(hook, value)| ((group, hook), value["command"] == command))
    });
    hooks.map(|(at, ours)| (at, if ours { Owner::Us } else { Owner::Others })).collect()
}

/// The text without hooks of this command, and without what was made around them and is empty.
pub(super) fn remove(text: &str, command: &str, made: usize) -> Result<String, HooksError> {
    let mut text = text.to_owned();
    loop {
        let (value, root) = parse(&text)?;
        let Some((group, hook)) = position(&value, command) else { return Ok(text) };
        let groups = value[HOOKS][EVENT].as_array().map_or(0, Vec::len);
        let in_group = value[HOOKS][EVENT][group][HOOKS].as_array().map_or(0, Vec::len);
        let events = value[HOOKS].as_object().map_or(0, serde_json::Map::len);
        let found = (|| {
            let hooks = root.member(HOOKS)?;
            let event = hooks.value.member(EVENT)?;
            let entry = event.value.elements()?.get(group)?;
            // The outermost of what would be left empty.
            Some(if in_group > 1 {
                without(&text, &entry.member(HOOKS)?.value, hook)
            } else if groups > 1 || made == 0 {
                without(&text, &event.value, group)
            } else if events > 1 || made == 1 {
                without(&text, &hooks.value, at(&hooks.value, event.start)?)
            } else {
                without(&text, &root, at(&root, hooks.start)?)
            })
        })();
        match found {
            Some(shorter) => text = shorter,
            None => return Ok(text),
        }
    }
}

fn at(container: &Node, start: usize) -> Option<usize> {
    container.items().iter().position(|item| item.0 == start)
}

/// The text without one item of a container, and the comma that it needed.
fn without(text: &str, container: &Node, index: usize) -> String {
    let items = container.items();
    let (from, to) = match (index, items.len()) {
        (_, 1) => (container.start + 1, container.end - 1),
        (0, _) => (items[0].0, items[1].0),
        (_, _) => (items[index - 1].1, items[index].1),
    };
    [&text[..from], &text[to..]].concat()
}

/// The change that puts a value at the end of a container, written as its neighbours are.
fn insert(text: &str, root: &Node, container: &Node, key: Option<&str>, value: &Value) -> Edit {
    let newline = line_end(text);
    let unit = root.items().first().and_then(|item| indentation(text, item.0)).unwrap_or("  ");
    let key = key.map(|key| format!("\"{key}\": ")).unwrap_or_default();
    let items = container.items();
    let own_line =
        |indent: &str| format!("{newline}{indent}{key}{}", pretty(value, indent, unit, newline));
    match (items.first(), items.last()) {
        (Some(first), Some(last)) => {
            let inserted = match indentation(text, first.0) {
                Some(indent) => format!(",{}", own_line(indent)),
                None => format!(", {key}{value}"),
            };
            Edit { at: last.1, removed: String::new(), inserted }
        }
        _ => {
            let at = container.start + 1;
            let removed = text[at..container.end - 1].to_owned();
            let line = text[..container.start].rfind('\n').map_or(0, |end| end + 1);
            let outer: String =
                text[line..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
            let is_root = container.start == root.start;
            let inserted = match is_root || text[..container.start].contains('\n') {
                true => format!("{}{newline}{outer}", own_line(&format!("{outer}{unit}"))),
                false => format!("{key}{value}"),
            };
            Edit { at, removed, inserted }
        }
    }
}

/// The space before what begins a line; none for what stands within one.
fn indentation(text: &str, start: usize) -> Option<&str> {
    let line = text[..start].rfind('\n')? + 1;
    let before = &text[line..start];
    before.bytes().all(|byte| matches!(byte, b' ' | b'\t')).then_some(before)
}

fn pretty(value: &Value, indent: &str, unit: &str, newline: &str) -> String {
    let mut bytes = Vec::new();
    let format = PrettyFormatter::with_indent(unit.as_bytes());
    // A value of ours, written to memory.
    drop(value.serialize(&mut Serializer::with_formatter(&mut bytes, format)));
    let text = String::from_utf8(bytes).unwrap_or_default();
    text.replace('\n', &format!("{newline}{indent}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMAND: &str = "'/opt/a b/handoff' hook claude";

    /// Adds, checks that nothing else changed, and takes back in both ways.
    fn check(text: &str) -> String {
        let Added { edit, made } = add(text, COMMAND).unwrap().unwrap();
        let with = edit.apply(text).unwrap();
        assert_eq!(edit.take_back(&with).unwrap(), text, "{with}");
        let value: Value = serde_json::from_str(&with).unwrap();
        let (group, hook) = position(&value, COMMAND).expect("the hook");
        assert_eq!(value[HOOKS][EVENT][group][HOOKS][hook]["timeout"], TIMEOUT_SECONDS);
        assert_eq!(add(&with, COMMAND).unwrap(), None, "it is there once");
        let before = match text.trim_ascii() {
            "" => json!({}),
            text => serde_json::from_str(text).unwrap(),
        };
        let left: Value = serde_json::from_str(&remove(&with, COMMAND, made).unwrap()).unwrap();
        assert_eq!(left, before, "{with}");
        with
    }

    #[test]
    fn a_hook_is_written_as_its_neighbours_are() {
        let with = check("{\n    \"model\": \"opus\"\n}\n");
        assert!(
            with.starts_with("{\n    \"model\": \"opus\",\n    \"hooks\": {\n        \""),
            "{with}"
        );
        let with = check("{\r\n\t\"hooks\": {\r\n\t\t\"Stop\": []\r\n\t}\r\n}");
        assert!(with.contains("[],\r\n\t\t\"UserPromptSubmit\": [\r\n\t\t\t{\r\n"), "{with}");
        assert!(!with.replace("\r\n", "").contains('\n'), "{with}");
        let with = check(r#"{"a":1,"hooks":{}}"#);
        assert!(!with.contains('\n'), "{with}");
    }

    #[test]
    fn every_shape_of_settings_takes_it_and_gives_it_back() {
        for text in [
            "",
            " \n",
            "{}",
            "{ }",
            "{\n}\n",
            "\n\n{}",
            r#"{"hooks":{"UserPromptSubmit":[]}}"#,
            "{\n  \"hooks\": {\n    \"UserPromptSubmit\": [\n    ]\n  }\n}",
            "{\n  \"hooks\": {\n    \"UserPromptSubmit\": [\n      {\"hooks\": []}\n    ]\n  },\n  \"z\": [1, 2]\n}\n",
            r#"{"hooks": {"UserPromptSubmit": [{"hooks": [{"type": "command", "command": "x"}]}], "Stop": []}}"#,
            r#"{"s": "a \"}{[,", "n": -1.5e3, "hooks": {"Stop": [{"hooks": []}]}}"#,
            "{\"\\u0068ooks\": {\"a\": 1}}",
        ] {
            drop(check(text));
        }
    }

    #[test]
    fn what_cannot_take_it_is_refused() {
        for text in [
            "{",
            "[]",
            "1",
            "{\"hooks\": []}",
            "{\"hooks\": null}",
            "// a\n{}",
            "{\"a\":1,}",
            "{\"hooks\":{\"UserPromptSubmit\":{}}}",
        ] {
            assert!(add(text, COMMAND).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_changed_since_loses_only_the_hook() {
        let text = "{\"hooks\": {\"UserPromptSubmit\": [{\"hooks\": [{\"command\": \"x\"}, {\"command\": \"C\"}]}, {\"hooks\": [{\"command\": \"C\"}]}]}}";
        let text = text.replace('C', COMMAND);
        let left = remove(&text, COMMAND, 0).unwrap();
        assert_eq!(
            left,
            "{\"hooks\": {\"UserPromptSubmit\": [{\"hooks\": [{\"command\": \"x\"}]}]}}"
        );
        assert_eq!(remove(&left, COMMAND, 2).unwrap(), left);
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        let any_value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,5}", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        });
        let members = prop::collection::btree_map("[a-z\"\\\\]{0,5}", any_value.clone(), 0..4);
        let events = prop::option::of(prop::collection::vec(any_value, 0..3));
        (members, prop::option::of(events)).prop_map(|(members, hooks)| {
            let mut document: serde_json::Map<String, Value> = members.into_iter().collect();
            document.remove(HOOKS);
            match hooks {
                Some(Some(groups)) => drop(document.insert(HOOKS.into(), json!({ EVENT: groups }))),
                Some(None) => drop(document.insert(HOOKS.into(), json!({}))),
                None => {}
            }
            Value::Object(document)
        })
    }

    proptest! {
        #[test]
        fn whatever_the_settings_are_they_come_back(
            document in document(),
            unit in prop_oneof![Just(None), Just(Some("  ")), Just(Some("\t"))],
            newline in prop_oneof![Just("\n"), Just("\r\n")],
        ) {
            let text = match unit {
                Some(unit) => pretty(&document, "", unit, newline),
                None => document.to_string(),
            };
            drop(check(&text));
        }
    }
}
