//! serde's view of the tree. A field of type text gets the text as written (`1.0`, `no`), whatever it looks like; a
//! fault knows its path.

use std::fmt;

use serde::de::{
    self, Deserializer, IntoDeserializer, Visitor,
    value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
};

use super::node::{Content, Meaning, Node, element, member};

/// Why serde refused, and where.
#[derive(Debug)]
pub(super) struct Fault {
    path: Option<String>,
    message: String,
}

impl Fault {
    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// The innermost place counts.
    fn at(mut self, path: &str) -> Self {
        self.path.get_or_insert_with(|| path.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NodeDeserializer<'n> {
    node: &'n Node,
    path: String,
}

impl<'n> NodeDeserializer<'n> {
    pub(super) fn new(document: &'n Node) -> Self {
        Self { node: document, path: String::new() }
    }

    fn below(node: &'n Node, path: String) -> Self {
        Self { node, path }
    }

    fn entries(&self, entries: &'n [(String, Node)]) -> impl Iterator<Item = (&'n str, Self)> + use<'n> {
        let path = self.path.clone();
        entries.iter().map(move |(key, value)| (key.as_str(), Self::below(value, member(&path, key))))
    }

    fn items(&self, items: &'n [Node]) -> impl Iterator<Item = Self> + use<'n> {
        let path = self.path.clone();
        items.iter().enumerate().map(move |(index, item)| Self::below(item, element(&path, index)))
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Sequence(items) => visitor.visit_seq(SeqDeserializer::new(self.items(items))),
            Content::Mapping(entries) => visitor.visit_map(MapDeserializer::new(self.entries(entries))),
            Content::Scalar { text, .. } => match self.node.meaning() {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Bool(value) => visitor.visit_bool(value),
                Meaning::Integer(value) => visitor.visit_i64(value),
                Meaning::Unsigned(value) => visitor.visit_u64(value),
                Meaning::Float(value) => visitor.visit_f64(value),
                Meaning::Text => visitor.visit_str(text),
            },
        }
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Scalar { text, .. } => visitor.visit_str(text),
            Content::Sequence(_) | Content::Mapping(_) => self.any(visitor),
        }
    }

    fn variant<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Scalar { text, .. } => visitor.visit_enum(text.as_str().into_deserializer()),
            Content::Mapping(entries) => {
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(self.entries(entries))))
            }
            Content::Sequence(_) => self.any(visitor),
        }
    }
}

/// Each method does one of the three ways of reading and tells where a fault was.
macro_rules! read {
    ($way:ident: $($method:ident($($unused:ident: $kind:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($unused: $kind,)* visitor: V) -> Result<V::Value, Fault> {
            let path = self.path.clone();
            self.$way(visitor).map_err(|fault| fault.at(&path))
        })*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Fault;

    read! { any:
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_unit() deserialize_unit_struct(_name: &'static str)
        deserialize_seq() deserialize_tuple(_length: usize)
        deserialize_tuple_struct(_name: &'static str, _length: usize) deserialize_map()
        deserialize_struct(_name: &'static str, _fields: &'static [&'static str]) deserialize_ignored_any()
    }
    read! { text:
        deserialize_char() deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_identifier()
    }
    read! { variant: deserialize_enum(_name: &'static str, _variants: &'static [&'static str]) }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let read = if self.node.meaning() == Meaning::Null { visitor.visit_none() } else { visitor.visit_some(self) };
        read.map_err(|fault| fault.at(&path))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        visitor.visit_newtype_struct(self).map_err(|fault| fault.at(&path))
    }
}

impl IntoDeserializer<'_, Fault> for NodeDeserializer<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
