//! A small text file, opened once and checked on the open handle.

use std::borrow::Cow;
use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::message::Message;
use nix::libc::O_NONBLOCK;
use nix::unistd::geteuid;
use zeroize::Zeroizing;

/// The largest file that [`read`] reads, in bytes.
pub(crate) const LIMIT: u64 = 64 * 1024;

/// A file's text, with what the open handle says of it.
pub struct TextFile {
    /// The whole text, which may be a secret: it is wiped from the memory at the end.
    pub(crate) text: Zeroizing<String>,
    path: PathBuf,
    about: Metadata,
}

impl TextFile {
    /// Refuses a file that is neither root's nor the caller's, or that others may write.
    pub(crate) fn check_owner(&self) -> Result<(), Error> {
        let shown = self.path.display();
        let (owner, caller) = (self.about.uid(), geteuid().as_raw());
        if owner != 0 && owner != caller {
            // Nobody is advised to take it away from its owner, whose file it may well be: sudo can leave HOME as it is.
            let own = if caller == 0 { "root's own file, below /root" } else { "a file of your own" };
            return Err(Error::new(
                Kind::Foreign,
                Message::new(
                    format!("{shown} belongs to user id {owner} and is not taken for user id {caller}"),
                    format!("put what it holds into {own}, mode 600"),
                ),
            ));
        }
        self.check_mode(0o022, "may be written by others", "go-w")
    }

    /// Refuses a file that holds a secret but is not its owner's alone, where the owner is root or the caller.
    pub(crate) fn check_secrecy(&self) -> Result<(), Error> {
        if let Err(error @ Error { kind: Kind::Foreign, .. }) = self.check_owner() {
            return Err(error);
        }
        self.check_mode(0o077, "holds a secret but is open to others", "600")
    }

    fn check_mode(&self, forbidden: u32, what: &str, right: &str) -> Result<(), Error> {
        let shown = self.path.display();
        match self.about.mode() & 0o7777 {
            mode if mode & forbidden != 0 => Err(unfit(format!("{shown} {what} (mode {mode:04o})"), format!("run: chmod {right} {shown}"))),
            _ => Ok(()),
        }
    }
}

/// Why there is no text, or none that is trusted.
pub(crate) type Error = Failure<Kind>;

/// What kind of reason that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no such file.
    Missing,
    /// The caller may not open it.
    Denied,
    /// It is somebody else's.
    Foreign,
    /// It is not what it must be, or its mode lets others in.
    Unfit,
}

/// Reads a whole text file of at most [`LIMIT`] bytes. See [`read_up_to`].
pub(crate) fn read(path: &Path) -> Result<TextFile, Error> {
    read_up_to(LIMIT, path)
}

/// Reads a whole text file of at most `limit` bytes.
///
/// A FIFO, device or directory is refused without waiting for it; so are NUL bytes, a byte order mark and anything but UTF-8.
pub(crate) fn read_up_to(limit: u64, path: &Path) -> Result<TextFile, Error> {
    let (bytes, about) = bytes_up_to(limit, path)?;
    Ok(TextFile { text: text(path, &bytes)?, path: path.to_owned(), about })
}

/// Reads a whole file of at most `limit` bytes, whatever they are.
///
/// A FIFO, device or directory is refused without waiting for it.
pub(crate) fn bytes_up_to(limit: u64, path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata), Error> {
    let shown = path.display();
    // Without O_NONBLOCK, opening a FIFO would wait for its writer for ever.
    let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Error::new(Kind::Missing, format!("{shown} does not exist")),
        ErrorKind::PermissionDenied => {
            Error::new(Kind::Denied, Message::new(format!("cannot read {shown}: permission denied"), "run as root"))
        }
        _ => Error::new(Kind::Unfit, format!("cannot open {shown}: {error}")),
    })?;
    let about = file.metadata().map_err(|error| Error::new(Kind::Unfit, format!("cannot examine {shown}: {error}")))?;
    if !about.is_file() {
        return Err(unfit(format!("{shown} is not a regular file"), "put a file in its place"));
    }
    // Large enough, so that it does not grow and leave copies behind.
    let size = usize::try_from(about.len().min(limit) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| Error::new(Kind::Unfit, format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(unfit(format!("{shown} is larger than {} KiB", limit / 1024), "put the right file in its place"));
    }
    Ok((bytes, about))
}

/// It is not what it must be, with what to do about it.
pub(crate) fn unfit(what: String, remedy: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Unfit, Message::new(what, remedy))
}

fn text(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    let shown = path.display();
    let unfit_at = |at: usize, before: &[u8], what: &str, remedy: &str| {
        let line = 1 + before[..at].iter().filter(|&&b| b == b'\n').count();
        Err(unfit(format!("{shown} line {line}: {what}"), remedy.to_owned()))
    };
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return unfit_at(
            0,
            bytes,
            "a byte order mark",
            &format!("save the file as plain text, or run: sed -i '1s/^\\xef\\xbb\\xbf//' {shown}"),
        );
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return unfit_at(0, bytes, "UTF-16 text", "save the file as plain text (UTF-8)");
    }
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return unfit_at(at, bytes, "a NUL byte", "the file is damaged or not text: write it anew");
    }
    match str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => unfit_at(error.valid_up_to(), bytes, "text that is not UTF-8", "save the file as plain text (UTF-8)"),
    }
}
