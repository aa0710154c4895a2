//! What a stop left behind for later calls, until the next boot.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::ids::Target;
use crate::memory::Memory;

/// The folder of the marks: an empty file for each thing that is remembered of an address, so that none can be half written.
#[derive(Clone, Debug)]
pub struct Marks {
    folder: PathBuf,
}

impl Marks {
    /// The marks in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What is remembered of an address.
    #[must_use]
    pub fn read(&self, target: &Target) -> Memory {
        Memory { handed_over: self.handed_over(target).exists(), stop_failed: self.stop_failed(target).exists() }
    }

    /// Changes what is remembered of an address. Only marks that differ are touched, for another call may be changing the others.
    /// The error is one line with the file and the reason.
    pub fn change(&self, target: &Target, from: Memory, to: Memory) -> Result<(), String> {
        if from.handed_over != to.handed_over {
            self.put(&self.handed_over(target), to.handed_over)?;
        }
        if from.stop_failed != to.stop_failed {
            self.put(&self.stop_failed(target), to.stop_failed)?;
        }
        Ok(())
    }

    /// Changes what is remembered of an address now. The error is that of [`Marks::change`].
    pub fn update(&self, target: &Target, to: impl FnOnce(Memory) -> Memory) -> Result<(), String> {
        let from = self.read(target);
        self.change(target, from, to(from))
    }

    fn put(&self, path: &Path, stands: bool) -> Result<(), String> {
        let done = if stands { self.create(path) } else { remove(path) };
        let verb = if stands { "write" } else { "remove" };
        done.map_err(|error| format!("cannot {verb} {}: {error}", path.display()))
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.folder)?;
        File::create(path).map(drop)
    }

    fn handed_over(&self, target: &Target) -> PathBuf {
        self.folder.join(format!("{}.handed-over", target.name))
    }

    fn stop_failed(&self, target: &Target) -> PathBuf {
        self.folder.join(format!("{}.stop-failed", target.name))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_another_call_has_taken_away_meanwhile_is_gone_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        let stood = Memory { handed_over: true, stop_failed: true };
        for folder in [folder.path().to_owned(), folder.path().join("none"), file] {
            let target = "203.0.113.25".parse().unwrap();
            assert_eq!(Marks::new(folder).change(&target, stood, Memory::default()), Ok(()));
        }
    }
}
