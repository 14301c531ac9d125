//! A process that takes locks as it is told: see `bin/locker.rs` for the commands.

use crate::binaries::helper;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that takes locks.
#[derive(Debug)]
pub struct Locker {
    process: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Locker {
    /// Starts one that has nothing open.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let mut command = Command::new(helper("locker"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a locker");
        let commands = process.stdin.take().expect("its input");
        let answers = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { process, commands, answers }
    }

    /// A locker that has `path` open as `f`, made if it is not there.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn with(path: &Path) -> Self {
        let mut locker = Self::start();
        assert_eq!(locker.ask(&format!("open f {}", path.display())), "ok");
        locker
    }

    /// Sends a command.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("a command sent");
    }

    /// The answer to the oldest command that has none.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn answer(&mut self) -> String {
        self.answers.next().expect("an answer").expect("a line")
    }

    /// Sends a command and waits for the answer.
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it, whatever it is doing.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        self.kill();
    }
}
