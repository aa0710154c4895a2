//! `haresources`, as `ResourceManager` of Heartbeat 3.0.6 reads it by `sed`, `awk` and the shell.

use std::iter;

use super::RESOURCE;

/// Whether a group has the resource: `NODE RESOURCE[::ARGUMENT…]…`.
pub(super) fn names_it(text: &str) -> bool {
    groups(text).any(|group| {
        let mut words = group.split([' ', '\t']).filter(|word| !word.is_empty());
        words.next();
        words.any(|word| word.split("::").next() == Some(RESOURCE))
    })
}

/// The lines, joined where a backslash ends one. A comment ends at the end of its line, and the backslash with it; in what was
/// joined, a `#` is a character as any other.
fn groups(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    iter::from_fn(move || {
        let mut group = lines.next()?.split('#').next().unwrap_or_default().to_owned();
        while group.ends_with('\\') {
            let Some(line) = lines.next() else { break };
            group.pop();
            group.push_str(line);
        }
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_is_found_where_heartbeat_would_run_it() {
        for text in [
            "server1 elastic-ip",
            "server1 IPaddr::10.0.0.9 elastic-ip::203.0.113.25",
            "server1 \\\n  elastic-ip::a::b",
            "server1 apache \\\n\\\nelastic-ip\n",
            "server1 elastic\\\n-ip",
            "\tserver1\telastic-ip # comment",
            "# comment \\\nserver1 elastic-ip",
            "server1 a \\\n b # elastic-ip",
            "server1 elastic-ip \\",
        ] {
            assert!(names_it(text), "{text:?}");
        }
        for text in [
            "",
            "#server1 elastic-ip",
            "server1 apache # elastic-ip later",
            "server1 apache#\\\n elastic-ip",
            "server1 apache\\\nelastic-ip",
            "server1 IPaddr::10.0.0.9",
            "server1 elastic-ip2",
            "server1 a::elastic-ip",
            "elastic-ip apache",
            "server1 elastic-ip\\",
            "server1 elastic-ip\\\n",
            "server1 elastic-ip\r\n",
        ] {
            assert!(!names_it(text), "{text:?}");
        }
    }
}
