//! The cluster managers that are configured on this machine, and which of them moves the address.

use std::path::{Path, PathBuf};

use xml::EventReader;
use xml::reader::XmlEvent;

use crate::config::below;
use crate::escape::printable;
use crate::file;
use crate::message::Message;

/// The resource's name, in each manager's configuration.
const RESOURCE: &str = "elastic-ip";

/// What keepalived runs for it.
const SCRIPTS: [&str; 2] = [RESOURCE, "follow-keepalived"];

/// A cluster's configuration grows with its resources and nodes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// One cluster manager's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Whose it is.
    pub name: &'static str,
    /// Where it is.
    pub file: PathBuf,
    /// Whether it names this program. The error is one line.
    pub moves_it: Result<bool, Message>,
}

/// Whether a configuration names this program. The error is one line.
type Reads = fn(&str) -> Result<bool, Message>;

/// Those whose configuration is there.
#[must_use]
pub fn find(root: &Path) -> Vec<Manager> {
    let managers: [(&str, &str, Reads); 3] = [
        ("Heartbeat", "/etc/ha.d/haresources", |text| Ok(is_in_haresources(text))),
        ("Pacemaker", "/var/lib/pacemaker/cib/cib.xml", is_in_cib),
        ("keepalived", "/etc/keepalived/keepalived.conf", |text| Ok(is_in_keepalived(text))),
    ];
    let read = |(name, path, reads): (&'static str, &str, Reads)| {
        let file = below(root, Path::new(path));
        let moves_it = match file::read_up_to(LIMIT, &file) {
            Ok(text) => reads(&text.text).map_err(|what| what.at(file.display())),
            Err(file::Error::Missing) => return None,
            Err(file::Error::Denied(line) | file::Error::Unfit(line)) => Err(line),
        };
        Some(Manager { name, file, moves_it })
    };
    managers.into_iter().filter_map(read).collect()
}

/// `NODE RESOURCE[::ARGUMENT…]…`, as Heartbeat's `ResourceManager` splits it.
fn is_in_haresources(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(str::split_whitespace).any(|word| word.split("::").next() == Some(RESOURCE))
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

/// A path in a line, or in a quoted command.
fn is_in_keepalived(text: &str) -> bool {
    let lines = text.lines().map(|line| line.split(['#', '!']).next().unwrap_or_default());
    let mut words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c == '"'));
    words.any(|word| word.rsplit_once('/').is_some_and(|(_, name)| SCRIPTS.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_s_resource_is_found_in_its_forms() {
        for line in ["server1 elastic-ip", "server1 IPaddr::10.0.0.9 elastic-ip::203.0.113.25", "server1 \\\n  elastic-ip::a::b"] {
            assert!(is_in_haresources(line), "{line}");
        }
        for line in ["", "#server1 elastic-ip", "server1 IPaddr::10.0.0.9", "server1 elastic-ip2", "server1 a::elastic-ip"] {
            assert!(!is_in_haresources(line), "{line}");
        }
    }

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

    #[test]
    fn keepalived_s_script_is_found_where_it_is_run() {
        let shipped = include_str!("../etc/keepalived/keepalived.conf");
        assert!(is_in_keepalived(shipped));
        assert!(is_in_keepalived("notify_master \"/usr/sbin/elastic-ip start\""));
        assert!(!is_in_keepalived(&shipped.replace("/usr/libexec/elastic-ip/follow-keepalived", "/usr/local/bin/other")));
        assert!(!is_in_keepalived("# /usr/sbin/elastic-ip\n! /usr/sbin/elastic-ip\nvrrp_instance elastic-ip {}"));
    }
}
