//! The watcher on a terminal: a progress line while something runs, and Ctrl-C.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::stop;
use crate::model::Problem;
use crate::model::path::display_name;
use crate::monitor::{Counter, Monitor, Phase};

/// Shows progress on standard error where that is a terminal, and hears Ctrl-C.
#[derive(Debug)]
pub(super) struct Ui {
    bar: ProgressBar,
    quiet: bool,
    verbose: bool,
}

impl Ui {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        // indicatif draws nothing where standard error is no terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(nothing());
        catch_ctrl_c();
        Ui { bar, quiet, verbose }
    }

    /// Says for what it waits: on a terminal now, in the place of what was said before; elsewhere only what `is_new`, because
    /// there every line stays.
    pub(super) fn waits(&self, line: &str, is_new: bool) {
        // Names of stores may hold anything.
        let line = display_name(line.as_bytes());
        if !self.bar.is_hidden() {
            self.bar.set_style(nothing());
            self.bar.set_message(line.clone());
        } else if is_new && !self.quiet {
            eprintln!("{line}");
        }
    }

    /// Ends the progress line.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A progress line with nothing on it.
fn nothing() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").expect("a template that names one thing")
}

/// The first Ctrl-C asks the run to end; the second ends the process.
fn catch_ctrl_c() {
    stop::heed();
    // Fails only where a handler is set already, which calls the same.
    let _ = ctrlc::set_handler(stop::signalled);
}

impl Monitor for Ui {
    fn phase(&self, phase: Phase, total: Option<u64>) {
        let (what, unit) = match phase {
            Phase::Scan => ("scanning", "files"),
            Phase::Enrich => ("reading text", "documents"),
            Phase::Ask => ("asking commands", "documents"),
            Phase::Push => ("sending", "operations"),
            Phase::Check => ("checking", "objects"),
            Phase::Fetch => ("fetching", "files"),
        };
        let style = match total {
            Some(_) => {
                format!(
                    "{{spinner}} {what}  {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}"
                )
            }
            None => format!("{{spinner}} {what}  {{human_pos}} {unit}  {{per_sec}}  {{msg}}"),
        };
        // Whatever is set draws, and would show for a moment what does not belong together: so nothing is shown meanwhile.
        self.bar.set_style(nothing());
        self.bar.set_message("");
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.reset();
        if let Ok(style) = ProgressStyle::with_template(&style) {
            self.bar.set_style(style);
        }
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn count(&self, counter: Counter, n: u64) {
        match counter {
            Counter::FilesSeen
            | Counter::FilesExtracted
            | Counter::DocumentsAsked
            | Counter::OperationsDone
            | Counter::ObjectsChecked
            | Counter::FilesFetched => self.bar.inc(n),
            Counter::FilesHashed
            | Counter::BytesHashed
            | Counter::QuestionsAsked
            | Counter::ObjectsWritten
            | Counter::BytesSent => {}
        }
    }

    fn problem(&self, problem: &Problem) {
        if self.verbose {
            let message = display_name(problem.message.as_bytes());
            self.bar.suspend(|| eprintln!("{}: {message} ({})", problem.path, problem.kind));
        }
    }

    fn cancelled(&self) -> bool {
        stop::is_asked()
    }
}
