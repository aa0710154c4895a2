//! A strict reading of EC2's answers, to compare the program's with: a whole tree is built first, and only then looked at.

use xml::EventReader;
use xml::reader::{ParserConfig, XmlEvent};

/// The document does not say what was looked for, or says it twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// One element.
#[derive(Debug, Default)]
pub struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads one whole UTF-8 document with one root of this name and no document type.
    pub fn document(root: &str, body: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
        if text.contains("<!DOCTYPE") {
            return Err(Malformed);
        }
        let syntax = ParserConfig::new()
            .cdata_to_characters(true)
            .coalesce_characters(true)
            .whitespace_to_characters(true)
            .allow_multiple_root_elements(false);
        let mut open = vec![Self::default()];
        for event in EventReader::new_with_config(body, syntax) {
            let innermost = open.last_mut().ok_or(Malformed)?;
            match event.map_err(|_| Malformed)? {
                XmlEvent::StartElement { name, .. } => open.push(Self { name: name.local_name, ..Self::default() }),
                XmlEvent::EndElement { .. } => {
                    let done = open.pop().ok_or(Malformed)?;
                    open.last_mut().ok_or(Malformed)?.children.push(done);
                }
                XmlEvent::Characters(text) => innermost.text.push_str(&text),
                _ => {}
            }
        }
        let mut roots = open.pop().ok_or(Malformed)?.children;
        roots.pop().filter(|only| roots.is_empty() && only.name == root).ok_or(Malformed)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The only child of this name, if there is one.
    pub fn child(&self, name: &str) -> Result<Option<&Self>, Malformed> {
        let mut named = self.children.iter().filter(|child| child.name == name);
        let first = named.next();
        if named.next().is_some() { Err(Malformed) } else { Ok(first) }
    }

    /// The text of the only child of this name, if there is one. A blank text is none.
    pub fn field(&self, name: &str) -> Result<Option<&str>, Malformed> {
        match self.child(name)? {
            None => Ok(None),
            Some(child) if child.children.is_empty() => Ok(Some(child.text.as_str()).filter(|text| !text.trim().is_empty())),
            Some(_) => Err(Malformed),
        }
    }
}
