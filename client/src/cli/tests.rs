//! What each command line means.

use super::*;

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("handoff").chain(line.split_whitespace()).map(OsString::from).collect()
}

fn parsed(line: &str) -> Result<Parsed, UsageError> {
    parse(&words(line))
}

fn invocation(line: &str) -> Invocation {
    match parsed(line) {
        Ok(Parsed::Run(invocation)) => *invocation,
        other => panic!("{line}: {other:?}"),
    }
}

fn handed_off(line: &str) -> handoff::Args {
    match invocation(line).command {
        Invoked::Handoff(args) => *args,
        Invoked::Subcommand(command) => panic!("{line}: {command:?}"),
    }
}

fn subcommand(line: &str) -> Command {
    match invocation(line).command {
        Invoked::Subcommand(command) => command,
        Invoked::Handoff(args) => panic!("{line}: {args:?}"),
    }
}

fn refused(line: &str) -> (String, String) {
    let UsageError { message, hint } = parsed(line).unwrap_err();
    (message, hint.unwrap_or_default())
}

#[test]
fn clap_accepts_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn option_parsing_stops_at_the_first_word_that_is_no_option() {
    for (line, command) in [
        ("make -j8 test", "make -j8 test"),
        ("-n one make --name two -- x", "make --name two -- x"),
        ("-- ls -la", "ls -la"),
        ("-- -odd", "-odd"),
        ("--include *.env --include=.x make", "make"),
        ("make ls", "make ls"),
        ("-fn name make", "make"),
        ("-C dir make --json", "make --json"),
        ("env -- ls", "env -- ls"),
        ("make --help", "make --help"),
    ] {
        let expected: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
        assert_eq!(handed_off(line).command, expected, "{line}");
    }
    assert_eq!(handed_off("-n one make --name two").name.unwrap(), "one");
    assert_eq!(handed_off("--include a --include b make").carry.include, ["a", "b"]);
    assert_eq!(handed_off("--time-limit 2h make").time_limit.unwrap().seconds(), 7200);
}

#[test]
fn a_first_word_that_is_a_subcommand_is_that_subcommand() {
    assert!(matches!(subcommand("ls --all"), Command::Ls(args) if args.all));
    assert!(matches!(subcommand("logs -f run"), Command::Logs(args) if args.follow));
    assert!(
        matches!(subcommand("plan make -j8"), Command::Plan(args) if args.command == ["make", "-j8"])
    );
    assert!(
        matches!(subcommand("remote rm box"), Command::Remote(crate::command::remote::Args::Rm { name }) if name == "box")
    );
    assert!(matches!(subcommand("remote add box -"), Command::Remote(_)));
    assert!(
        matches!(subcommand("resume-upload run"), Command::ResumeUpload(args) if args.run.as_deref() == Some("run"))
    );
    assert!(matches!(subcommand("report anything --at all"), Command::Report(_)));
}

#[test]
fn global_options_stand_before_or_after_a_subcommand() {
    for line in ["--json -r box -C dir ls", "ls --json -r box -C dir", "-r box ls --json -C dir"] {
        let global =
            Global { remote: Some("box".into()), directory: Some("dir".into()), json: true };
        assert_eq!(invocation(line).global, global, "{line}");
    }
}

#[test]
fn usage_errors_suggest_what_was_meant() {
    for (line, message, hint) in [
        ("ls -la", "unexpected argument '-l' found", "`handoff -- ls -la` runs the program ls"),
        (
            "--follow ls",
            "`--follow` belongs to handing a command off",
            "`handoff -- ls` runs the program ls",
        ),
        ("--nam x make", "unexpected argument '--nam' found", "did you mean `--name`?"),
        ("remote lss", "unrecognized subcommand 'lss'", "did you mean `ls`?"),
        ("", "no command is given", "`handoff COMMAND` hands COMMAND off"),
        (
            "--time-limit soon make",
            "\"soon\" is no time limit",
            "`handoff --help` lists the options",
        ),
        ("rm", "required arguments were not provided", "`handoff -- rm` runs the program rm"),
    ] {
        let (found_message, found_hint) = refused(line);
        assert!(found_message.contains(message), "{line}: {found_message}");
        assert!(found_hint.contains(hint), "{line}: {found_hint}");
    }
}

#[test]
fn flags_without_an_effect_are_refused_by_name() {
    for (line, flag) in [
        ("--max-cost 3 make", "--max-cost"),
        ("--stdin make", "--stdin"),
        ("--max-turns 2 ls", "--max-turns"),
    ] {
        assert_eq!(refused(line).0, format!("`{flag}` is not built yet"), "{line}");
    }
}

#[test]
fn a_command_that_looks_like_a_subcommand_is_noticed_unless_it_is_meant() {
    assert_eq!(handed_off("pul").resembles.as_deref(), Some("pull"));
    assert_eq!(handed_off("-- pul").resembles, None);
    assert_eq!(handed_off("make").resembles, None);
}

#[test]
fn json_is_noticed_even_where_the_rest_is_wrong() {
    for (line, format) in [
        ("--json", Format::Json),
        ("ls --bogus --json", Format::Json),
        ("--json make", Format::Json),
        ("make --json", Format::Text),
        ("-- make --json", Format::Text),
        ("plan --json -- x", Format::Json),
        ("plan -- x --json", Format::Text),
    ] {
        assert_eq!(wanted_format(&words(line)), format, "{line}");
    }
}

#[test]
fn help_and_version_are_texts() {
    for line in ["--help", "--version", "ls --help", "help"] {
        assert!(matches!(parsed(line), Ok(Parsed::Text(_))), "{line}");
    }
}
