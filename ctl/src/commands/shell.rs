//! `completions` and `man`: made from the command line's own description.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::Done;
use crate::cli::Cli;
use crate::output::Output;

pub(super) fn completions(shell: clap_complete::Shell, output: &Output) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mtactl", &mut script);
    Ok(output.document(&String::from_utf8_lossy(&script))?)
}

pub(super) fn manual(output: &Output) -> Done {
    let mut page = Vec::new();
    render(&mut page)?;
    Ok(output.document(&tidy(&String::from_utf8_lossy(&page)))?)
}

/// Each section that is rendered brings the definition of the apostrophe; once is enough.
fn tidy(page: &str) -> String {
    let definition = |line: &&str| line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq");
    let (once, rest) = (page.lines().filter(definition).take(2), page.lines());
    let mut text = String::new();
    for line in once.chain(rest.filter(|line| !definition(line))) {
        text.push_str(line);
        text.push('\n');
    }
    text.replace(".SH EXTRA\n", ".SH NOTES\n")
}

/// One page: the program, then every command with its options and examples.
fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone()).manual("Convoy");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    man.render_extra_section(page)?;
    render_commands(&command, "mtactl", page)
}

fn render_commands(command: &Command, path: &str, page: &mut Vec<u8>) -> io::Result<()> {
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            render_commands(sub, &path, page)?;
            continue;
        }
        page.extend_from_slice(format!(".SH \"{path}\"\n").as_bytes());
        render_command(sub, page)?;
    }
    Ok(())
}

fn render_command(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let options: Vec<String> = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && argument.get_id() != "help")
        .map(|a| a.get_id().to_string())
        .collect();
    // Global options are described once, at the top.
    let own = command.clone().mut_args(|argument| {
        let shown = options.iter().any(|id| argument.get_id() == id.as_str());
        argument.hide(!shown)
    });
    let man = Man::new(own);
    let mut parts = Vec::new();
    man.render_description_section(&mut parts)?;
    if !options.is_empty() {
        man.render_options_section(&mut parts)?;
    }
    man.render_extra_section(&mut parts)?;
    // The sections of a command stand one level below its heading.
    let text = String::from_utf8_lossy(&parts);
    let text = text.replace(".SH DESCRIPTION\n", "").replace(".SH OPTIONS\n", ".SS Options\n");
    page.extend_from_slice(text.replace(".SH EXTRA\n", ".PP\n").as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_describes_every_command_once() {
        let mut page = Vec::new();
        render(&mut page).unwrap();
        let page = tidy(&String::from_utf8(page).unwrap());
        assert_eq!(page.matches(".ds Aq").count(), 2, "{page}");
        for heading in [
            ".SH NAME",
            ".SH \"mtactl status\"",
            ".SH \"mtactl show queues\"",
            ".SH \"mtactl delete\"",
            ".SH \"mtactl config check\"",
        ] {
            assert_eq!(page.matches(heading).count(), 1, "{heading} in\n{page}");
        }
        assert_eq!(page.matches("MTACTL_SOCKET").count(), 1, "{page}");
        assert!(page.contains("Exit codes"), "{page}");
    }

    #[test]
    fn every_shell_gets_a_script() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mtactl", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("topqueues"), "{shell}");
        }
    }
}
