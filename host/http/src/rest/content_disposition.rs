//! The header `Content-Disposition` of a part (RFC 7578, RFC 6266).

use percent_encoding::percent_decode;

/// The parameters of a part's `Content-Disposition`. multer reads only `name` and `filename`, and only in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ContentDisposition {
    /// The name of the form's field.
    pub(crate) name: Option<String>,
    /// The file's name: `filename*` if the client sends it, else `filename`.
    pub(crate) filename: Option<String>,
}

impl ContentDisposition {
    /// Parses the header's value. A parameter that cannot be read is left out, and so is everything behind it if its end
    /// is unknown. Of two parameters of one name the first counts.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let mut disposition = Self::default();
        let mut plain = None;
        let start = value.iter().position(|&byte| byte == b';');
        let mut rest = &value[start.unwrap_or(value.len())..];
        while let Some((key, text, behind)) = parameter(rest) {
            match &*key.to_ascii_lowercase() {
                "name" => set(&mut disposition.name, String::from_utf8(text).ok()),
                "filename" => set(&mut plain, String::from_utf8(text).ok()),
                "filename*" => set(&mut disposition.filename, extended(&text)),
                _ => {}
            }
            rest = behind;
        }
        disposition.filename = disposition.filename.or(plain);
        disposition
    }
}

fn set(slot: &mut Option<String>, value: Option<String>) {
    if slot.is_none() {
        *slot = value;
    }
}

/// The next parameter after a semicolon, its value without quotes, and what follows it.
fn parameter(rest: &[u8]) -> Option<(String, Vec<u8>, &[u8])> {
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b";")?
        .trim_ascii_start();
    let end = rest
        .iter()
        .position(|&byte| byte == b'=' || byte == b';')
        .unwrap_or(rest.len());
    let key = String::from_utf8_lossy(rest[..end].trim_ascii()).into_owned();
    let Some(value) = rest[end..].strip_prefix(b"=") else {
        return Some((key, Vec::new(), &rest[end..]));
    };
    let value = value.trim_ascii_start();
    let Some(mut quoted) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(|&byte| byte == b';');
        let (text, behind) = value.split_at(end.unwrap_or(value.len()));
        return Some((key, text.trim_ascii().to_vec(), behind));
    };
    let mut text = Vec::new();
    loop {
        let (byte, behind) = match quoted {
            [b'"', behind @ ..] => return Some((key, text, behind)),
            // Old browsers send paths, whose other backslashes escape nothing.
            [b'\\', b'"', behind @ ..] => (b'"', behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        text.push(byte);
        quoted = behind;
    }
}

/// Decodes an extended value: `UTF-8'en'na%C3%AFve` (RFC 8187).
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |&byte| byte == b'\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case(b"utf-8") {
        return None;
    }
    let text = percent_decode(text).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_any_case_and_form() {
        for (value, name, filename) in [
            (
                "form-data; name=\"file\"; filename=\"a.bin\"",
                "file",
                "a.bin",
            ),
            (
                "form-data; Name=\"file\"; FileName=\"a.bin\"",
                "file",
                "a.bin",
            ),
            ("form-data;NAME=file;FILENAME=a.bin", "file", "a.bin"),
            (
                "form-data; name = file ; filename = \"a b.bin\"",
                "file",
                "a b.bin",
            ),
            (
                "form-data; name=file; filename*=UTF-8''na%C3%AFve.bin",
                "file",
                "naïve.bin",
            ),
            (
                "form-data; name=file; FILENAME*=utf-8'en'a%20b",
                "file",
                "a b",
            ),
            (
                "form-data; filename*=UTF-8''%c3%bc; filename=\"u\"; name=file",
                "file",
                "ü",
            ),
            (
                "form-data; name=file; filename=\"u\"; filename*=UTF-8''%C3%BC",
                "file",
                "ü",
            ),
            (
                "form-data; name=file; filename=\"u\"; filename*=latin1''%FC",
                "file",
                "u",
            ),
            (
                "form-data; name=file; filename=\"u\"; filename*=UTF-8''%FC",
                "file",
                "u",
            ),
            ("form-data; name=file; filename=\"ü.bin\"", "file", "ü.bin"),
            (
                "form-data; name=file; filename=\"a\\\"b;c.bin\"",
                "file",
                "a\"b;c.bin",
            ),
            (
                "form-data; name=file; filename=\"C:\\a.bin\"",
                "file",
                "C:\\a.bin",
            ),
            (
                "form-data; name=file; filename=\"name=x.bin\"",
                "file",
                "name=x.bin",
            ),
            (
                "form-data; name=a; name=b; filename=c; filename=d",
                "a",
                "c",
            ),
            ("form-data; filename=\"open; name=file", "", ""),
            ("form-data; flag; name=file", "file", ""),
            ("form-data", "", ""),
            ("", "", ""),
        ] {
            let parsed = ContentDisposition::parse(value.as_bytes());
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let expected = ContentDisposition {
                name: text(name),
                filename: text(filename),
            };
            assert_eq!(parsed, expected, "{value}");
        }
    }

    #[test]
    fn fuzz_content_disposition() {
        bolero::check!(name = "content_disposition").for_each(|bytes: &[u8]| {
            let _ = ContentDisposition::parse(bytes);
        });
    }
}
