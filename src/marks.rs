//! What a stop left behind for later calls, until the next boot.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::address::Target;

/// One thing to remember about an address. The mark's existence is all it says, so that none can be half written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This node has stopped holding the address, which stays until a peer takes it.
    HandedOver,
    /// A stop failed, so nobody may conclude from EC2's word that this node still claims the address.
    StopFailed,
}

/// The folder of the marks.
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

    /// Whether the mark stands.
    #[must_use]
    pub fn stands(&self, mark: Mark, target: Target) -> bool {
        self.path(mark, target).exists()
    }

    /// Makes the mark, and the folder where it is missing.
    pub fn set(&self, mark: Mark, target: Target) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.folder)?;
        File::create(self.path(mark, target)).map(drop)
    }

    /// Takes the mark away, if it stands.
    pub fn clear(&self, mark: Mark, target: Target) {
        let path = self.path(mark, target);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => log::warn!("{target}: cannot remove {}: {error}; remove it by hand", path.display()),
        }
    }

    fn path(&self, mark: Mark, target: Target) -> PathBuf {
        let ending = match mark {
            Mark::HandedOver => "handed-over",
            Mark::StopFailed => "stop-failed",
        };
        self.folder.join(format!("{target}.{ending}"))
    }
}
