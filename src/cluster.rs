//! The cluster managers that are configured on this machine, and which of them moves the address.

mod guard;
mod haresources;
mod keepalived;

use std::path::{Path, PathBuf};

use xml::EventReader;
use xml::reader::XmlEvent;

use crate::config::below;
use crate::escape::printable;
use crate::file;
use crate::message::Message;
pub(crate) use guard::Guard;

/// The resource's name, in each manager's configuration.
const RESOURCE: &str = "elastic-ip";

/// The manager that looks at no address between two failovers.
const HEARTBEAT: &str = "Heartbeat";

/// A cluster's configuration grows with its resources and nodes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// One cluster manager's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    /// Whose it is.
    pub name: &'static str,
    /// Where it is.
    pub file: PathBuf,
    /// Whether it names this program. The error is one line.
    pub moves_it: Result<bool, Message>,
}

/// Whether the configuration in a file, which may name others below a root, names this program.
type Reads = fn(root: &Path, file: &Path) -> Result<bool, file::Error>;

/// Those whose configuration is there.
#[must_use]
pub(crate) fn find(root: &Path) -> Vec<Manager> {
    let managers: [(&str, &str, Reads); 3] = [
        (HEARTBEAT, "/etc/ha.d/haresources", |_, file| Ok(haresources::names_it(&lenient(file)?))),
        ("Pacemaker", "/var/lib/pacemaker/cib/cib.xml", |_, file| {
            let text = file::read_up_to(LIMIT, file)?.text;
            is_in_cib(&text).map_err(|what| file::Error::new(file::Kind::Unfit, what.at(file.display())))
        }),
        ("keepalived", "/etc/keepalived/keepalived.conf", keepalived::names_it),
    ];
    let read = |(name, path, reads): (&'static str, &str, Reads)| {
        let file = below(root, Path::new(path));
        let moves_it = match reads(root, &file) {
            Ok(moves_it) => Ok(moves_it),
            Err(error) if error.kind == file::Kind::Missing => return None,
            Err(error) => Err(error.message),
        };
        Some(Manager { name, file, moves_it })
    };
    managers.into_iter().filter_map(read).collect()
}

/// The guard of a Heartbeat that moves the address. The error is one line.
#[must_use]
pub(crate) fn guard(root: &Path, managers: &[Manager]) -> Option<Result<Guard, Message>> {
    managers.iter().find(|manager| manager.name == HEARTBEAT && manager.moves_it == Ok(true))?;
    match guard::find(root) {
        Ok(guard) => Some(Ok(guard)),
        Err(error) if error.kind == file::Kind::Missing => None,
        Err(error) => Some(Err(error.message)),
    }
}

/// The text of a file whose reader takes any bytes: a comment may be in whatever encoding its author had.
fn lenient(file: &Path) -> Result<String, file::Error> {
    Ok(String::from_utf8_lossy(&file::bytes_up_to(LIMIT, file)?.0).into_owned())
}

/// A primitive of any class and provider, or the template of one
/// (<https://clusterlabs.org/projects/pacemaker/doc/2.1/Pacemaker_Explained/html/resources.html>).
fn is_in_cib(text: &str) -> Result<bool, Message> {
    for event in EventReader::from_str(text) {
        match event {
            Ok(XmlEvent::StartElement { name, attributes, .. }) if matches!(name.local_name.as_str(), "primitive" | "template") => {
                if attributes.iter().any(|attribute| attribute.name.local_name == "type" && attribute.value == RESOURCE) {
                    return Ok(true);
                }
            }
            Ok(_) => {}
            Err(error) => {
                return Err(Message::new(
                    format!("not whole XML ({})", printable(error.msg())),
                    "check again, for Pacemaker may just be writing it",
                ));
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacemaker_s_resource_is_found_whatever_its_class() {
        let cib = |element: &str| format!("<cib><configuration><resources>{element}</resources></configuration></cib>");
        for element in [
            "<primitive id=\"a\" class=\"ocf\" provider=\"elastic-ip\" type=\"elastic-ip\"/>",
            "<group id=\"g\"><primitive id=\"a\" class=\"lsb\" type=\"elastic-ip\"/></group>",
            "<template id=\"t\" class=\"lsb\" type=\"elastic-ip\"/>",
        ] {
            assert_eq!(is_in_cib(&cib(element)), Ok(true), "{element}");
        }
        for element in ["", "<primitive id=\"elastic-ip\" class=\"ocf\" provider=\"heartbeat\" type=\"awseip\"/>"] {
            assert_eq!(is_in_cib(&cib(element)), Ok(false), "{element}");
        }
        assert!(is_in_cib("<cib>").unwrap_err().what.starts_with("not whole XML"));
    }
}
