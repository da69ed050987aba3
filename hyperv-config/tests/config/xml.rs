//! The legacy XML format.

use hyperv_config::{Configuration, Damage, Error, Format, Limit, MAX_DEPTH, Problem, Value, ValueType};

use crate::common::{XML, error, fixtures, limit, paths, problems, read, unpacked};

fn utf16_file(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    [0xff, 0xfe].into_iter().chain(units).collect()
}

fn parsed(content: &str) -> Configuration {
    read(format!("<?xml version=\"1.0\"?>\n<configuration>{content}</configuration>").into_bytes())
}

#[test]
fn the_keys_of_the_shared_file() {
    let Some(folder) = fixtures() else { return };
    let bytes = unpacked(&folder, XML);
    let configuration = read(bytes.clone());
    assert_eq!(configuration.format(), Format::Xml);
    assert_eq!(configuration.warnings().listed, []);
    let units: Vec<u16> = bytes.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let text = String::from_utf16(&units).unwrap();
    assert_eq!(paths(configuration.tree()).len(), text.matches(" type=\"").count(), "every value is a key");
    let value = |path| configuration.tree().find(path).unwrap().value().clone();
    assert_eq!(value("/configuration/properties/version"), Value::Int(1280));
    assert_eq!(value("/configuration/properties/highly_available"), Value::Bool(false));
    let bytes = configuration.tree().keys().find(|key| key.value().value_type() == ValueType::Bytes).unwrap();
    assert_eq!(
        bytes.value(),
        &Value::Bytes(vec![0, 2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    );
    // Offsets are those of the file, whose characters have two bytes.
    for key in configuration.tree().keys() {
        let at = key.offset() as usize;
        let start: Vec<u8> = format!("<{}", key.name()).encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(unpacked_part(&folder, at, start.len()), start, "{}", key.path());
    }
}

fn unpacked_part(folder: &std::path::Path, at: usize, len: usize) -> Vec<u8> {
    use std::sync::OnceLock;
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| unpacked(folder, XML))[at..at + len].to_vec()
}

#[test]
fn values_of_all_types_in_all_encodings() {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><configuration>\
        <i type=\"integer\"> -12 </i><s type=\"string\">&lt;a&gt; &#x1F600; <![CDATA[<&]]> b</s><s type=\"string\"/>\
        <t type='bool'>True</t><b type=\"bytes\"> AAEC\r\n Aw== </b><n><f type=\"bool\">false</f></n><n/>\
        <!-- comment --></configuration>\r\n";
    let utf8_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let be: Vec<u8> = utf16_file(text).chunks(2).flat_map(|unit| [unit[1], unit[0]]).collect();
    for bytes in [text.as_bytes().to_vec(), utf8_mark, utf16_file(text), be, utf16_file(text)[2..].to_vec()] {
        let configuration = read(bytes);
        assert_eq!(configuration.warnings().listed, []);
        let found: Vec<_> =
            configuration.tree().keys().map(|key| (key.path(), key.value().clone())).collect();
        let expected = [
            ("", Value::Node),
            ("/i", Value::Int(-12)),
            ("/s", Value::Text("<a> \u{1f600} <& b".into())),
            ("/s", Value::Text(String::new())),
            ("/t", Value::Bool(true)),
            ("/b", Value::Bytes(vec![0, 1, 2, 3])),
            ("/n", Value::Node),
            ("/n/f", Value::Bool(false)),
            ("/n", Value::Node),
        ];
        let expected = expected.map(|(path, value)| (format!("/configuration{path}"), value));
        assert_eq!(found, expected);
    }
}

#[test]
fn malformed_values_are_warnings() {
    for (content, value_type) in [
        ("<k type=\"integer\">9223372036854775808</k>", ValueType::Int),
        ("<k type=\"integer\"></k>", ValueType::Int),
        ("<k type=\"bool\">1</k>", ValueType::Bool),
        ("<k type=\"bytes\">A</k>", ValueType::Bytes),
        ("<k type=\"bytes\">\u{e4}===</k>", ValueType::Bytes),
    ] {
        let configuration = parsed(content);
        let key = configuration.tree().find("/configuration/k").unwrap();
        assert!(matches!(key.value(), Value::Malformed(bytes) if bytes.value_type == value_type), "{key:?}");
        assert_eq!(problems(&configuration), [&Problem::Value { name: "k".into(), value_type }]);
    }
    let configuration = parsed("<k type=\"double\">1.5</k>");
    assert_eq!(configuration.tree().find("/configuration/k").unwrap().value(), &Value::Text("1.5".into()));
    assert_eq!(problems(&configuration), [&Problem::XmlType("k".into())]);
    let configuration = parsed("text<k type=\"integer\">1</k>");
    assert_eq!(problems(&configuration), [&Problem::XmlText("configuration".into())]);
}

#[test]
fn documents_that_are_not_well_formed_are_errors() {
    for content in [
        "<a>",
        "</a>",
        "<a></b>",
        "<a",
        "&unknown;",
        "&#xD800;",
        "&",
        "<!-- ",
        "<![CDATA[",
        "<k type=\"string\">&a;</k>",
        "<k type=\"string\"><x/></k>",
        "<k type=\"string\" type=\"string\"/>",
        "<k type=string/>",
        "</configuration><configuration>",
        "</configuration><other/><configuration>",
    ] {
        let bytes = format!("<configuration>{content}</configuration>").into_bytes();
        let error = error(bytes);
        assert!(matches!(error, Error::Corrupt { damage: Damage::Xml(_), .. }), "{content}: {error:?}");
    }
    let cut = "<configuration><a><k type=\"string\">text</k></a>";
    for end in 0..cut.len() {
        assert!(Configuration::read(cut.as_bytes()[..end].to_vec()).is_err(), "{}", &cut[..end]);
    }
    assert!(matches!(
        error(b"<configuration>\xff".to_vec()),
        Error::Corrupt { damage: Damage::XmlEncoding, .. }
    ));
}

#[test]
fn entities_are_not_defined_by_the_document() {
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><configuration>&c;</configuration>";
    assert!(matches!(error(bomb.into()), Error::NotAConfiguration));
    let bytes = b"<configuration><!DOCTYPE a></configuration>".to_vec();
    assert!(matches!(error(bytes), Error::Corrupt { damage: Damage::Xml(_), .. }));
}

#[test]
fn other_documents_are_no_configurations() {
    for text in [
        "<html/>",
        "<?xml version=\"1.0\"?>",
        "<configurations/>",
        "<!-- a -->",
        "<configuration type=\"string\"/>",
    ] {
        assert!(matches!(error(text.into()), Error::NotAConfiguration), "{text}");
        assert!(matches!(error(utf16_file(text)), Error::NotAConfiguration), "{text}");
    }
}

#[test]
fn documents_are_bounded() {
    let nested = |depth: usize| ("<n>".repeat(depth) + &"</n>".repeat(depth)).into_boxed_str();
    assert_eq!(parsed(&nested(MAX_DEPTH - 1)).tree().len(), MAX_DEPTH);
    let too_deep = format!("<configuration>{}</configuration>", nested(MAX_DEPTH));
    let deepest = too_deep.rfind("<n>").unwrap() as u64;
    assert_eq!(limit(Configuration::read(too_deep.into_bytes())), (Limit::Depth, Some(deepest)));
    let long = format!("<configuration><{0}/></configuration>", "n".repeat(256));
    assert!(matches!(error(long.into()), Error::Corrupt { .. }));
    let wrong = format!("<configuration></{}>", "\u{1b}n".repeat(100_000));
    let message = error(wrong.into()).to_string();
    assert!(message.len() < 4000 && !message.contains('\u{1b}'), "{}", message.len());
}
