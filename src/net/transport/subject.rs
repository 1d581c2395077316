//! A certificate's subject as a user name: the text that mosquitto makes of it (`use_subject_as_username`), which is
//! OpenSSL's with `XN_FLAG_RFC2253`, so that rules for one broker work with the other. It is RFC 2253 with OpenSSL's
//! short names and every byte beyond ASCII escaped; RFC 4514 has other names.

use std::fmt::Write;

use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{Encode, Tag, Tagged},
    name::Name,
};

/// The subject, its last part first. `None`: a part of it is not valid in its encoding.
pub(crate) fn text(subject: &Name) -> Option<String> {
    let mut parts: Vec<Vec<&AttributeTypeAndValue>> = subject.iter_rdn().map(|part| part.iter().collect()).collect();
    parts.reverse();
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        for (of, attribute) in part.iter().rev().enumerate() {
            match (at, of) {
                (0, 0) => {}
                (_, 0) => out.push(','),
                _ => out.push('+'),
            }
            push(&mut out, attribute)?;
        }
    }
    Some(out)
}

fn push(out: &mut String, attribute: &AttributeTypeAndValue) -> Option<()> {
    let oid = attribute.oid.to_string();
    let value = &attribute.value;
    let name = SHORT_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    out.push_str(name.unwrap_or(&oid));
    out.push('=');
    let bytes = value.value();
    match value.tag() {
        // unknown attributes are shown as they are encoded
        _ if name.is_none() => dump(out, &value.to_der().ok()?),
        Tag::Utf8String => escape(out, bytes),
        Tag::NumericString
        | Tag::PrintableString
        | Tag::TeletexString
        | Tag::Ia5String
        | Tag::UtcTime
        | Tag::GeneralizedTime
        | Tag::VisibleString => escape(out, bytes.iter().map(|&byte| char::from(byte)).collect::<String>().as_bytes()),
        Tag::BmpString => {
            let (units, []) = bytes.as_chunks::<2>() else { return None };
            let chars: Option<String> =
                units.iter().map(|unit| char::from_u32(u16::from_be_bytes(*unit).into())).collect();
            escape(out, chars?.as_bytes());
        }
        _ => dump(out, &value.to_der().ok()?),
    }
    Some(())
}

/// RFC 2253 section 2.4, with non-printable and non-ASCII bytes as hexadecimal digits.
fn escape(out: &mut String, utf8: &[u8]) {
    for (at, &byte) in utf8.iter().enumerate() {
        let is_last = at + 1 == utf8.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' ' if at == 0 || is_last => out.push_str("\\ "),
            // OpenSSL treats the last character separately, also if it is the first
            b'#' if at == 0 && !is_last => out.push_str("\\#"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                out.push('\\');
                hex(out, byte);
            }
        }
    }
}

fn dump(out: &mut String, der: &[u8]) {
    out.push('#');
    der.iter().for_each(|byte| hex(out, *byte));
}

fn hex(out: &mut String, byte: u8) {
    write!(out, "{byte:02X}").expect("a String takes all that is written");
}

/// As in `openssl list -objects`: the attributes of X.520, RFC 4519, PKCS#9 and the CA/Browser Forum.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.19", "physicalDeliveryOfficeName"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.51", "houseIdentifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.72", "role"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.9", "host"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
    use x509_cert::{Certificate, der::DecodePem};

    use super::*;

    #[test]
    fn subjects_read_as_openssl_writes_them() {
        let value = |text: &str| DnValue::Utf8String(text.into());
        let oid = |text: &str| DnType::CustomDnType(text.split('.').map(|arc| arc.parse().unwrap()).collect());
        let mut table = vec![
            // every short name, in an order of its own
            SHORT_NAMES.iter().map(|(known, name)| (oid(known), value(name))).collect::<Vec<_>>(),
            vec![
                (DnType::CountryName, DnValue::PrintableString("XY".try_into().unwrap())),
                (oid("1.2.840.113549.1.9.1"), DnValue::Ia5String("lamp@example.org".try_into().unwrap())),
                (DnType::LocalityName, DnValue::TeletexString("there".try_into().unwrap())),
                (DnType::CommonName, DnValue::BmpString("Lämpchen \u{20ac}".try_into().unwrap())),
                (oid("1.3.6.1.4.1.99999.1"), value("nobody knows it")),
            ],
        ];
        let texts = [
            "plain",
            "",
            " ",
            "#",
            "  ",
            "# ",
            "#1",
            " both ",
            "a,b+c\"d\\e<f>g;h=i",
            "ä€😀",
            "tab\tnul\0del\x7f",
            "ä",
            "#ä",
            "it's (a) test/of: all?",
        ];
        table.extend(texts.map(|text| vec![(DnType::OrganizationName, value("o")), (DnType::CommonName, value(text))]));
        for subject in table {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), value.clone()));
            assert_same(&params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
        }
        let two_in_one = "/DC=org/O=b+CN=a+OU=c/CN=lamp+serialNumber=7";
        let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let certificate = openssl(&[&request[..], &["-keyout", "/dev/null", "-subj", two_in_one]].concat(), "");
        assert!(assert_same(&certificate).contains('+'));
    }

    fn assert_same(pem: &str) -> String {
        let expected = openssl(&["x509", "-noout", "-subject", "-nameopt", "RFC2253"], pem);
        let certificate = Certificate::from_pem(pem).unwrap();
        let ours = text(certificate.tbs_certificate().subject()).unwrap();
        assert_eq!(format!("subject={ours}\n"), expected);
        ours
    }

    fn openssl(args: &[&str], input: &str) -> String {
        let pipe = Stdio::piped;
        let mut child = Command::new("openssl")
            .args(args)
            .stdin(pipe())
            .stdout(pipe())
            .stderr(pipe())
            .spawn()
            .expect("openssl is there");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}
