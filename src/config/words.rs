//! The words that are values of keys, and their meanings.

use super::{
    forms::Choice,
    listener::{CertificateIdentity, ClientCertificates, TlsVersion},
    settings::SyslogFacility,
};
use crate::types::{ClientIdBinding, TlsRecords, Transport};

pub(super) const SYSLOG: Choice<SyslogFacility> = Choice(&[
    ("daemon", SyslogFacility::Daemon),
    ("user", SyslogFacility::User),
    ("local0", SyslogFacility::Local(0)),
    ("local1", SyslogFacility::Local(1)),
    ("local2", SyslogFacility::Local(2)),
    ("local3", SyslogFacility::Local(3)),
    ("local4", SyslogFacility::Local(4)),
    ("local5", SyslogFacility::Local(5)),
    ("local6", SyslogFacility::Local(6)),
    ("local7", SyslogFacility::Local(7)),
]);

pub(super) const TRANSPORT: Choice<Transport> = Choice(&[
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
    ("ws", Transport::Ws),
    ("wss", Transport::Wss),
    ("unix", Transport::Unix),
]);

pub(super) const TLS_MIN: Choice<TlsVersion> = Choice(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]);

pub(super) const CLIENT_CERTIFICATES: Choice<ClientCertificates> = Choice(&[
    ("off", ClientCertificates::Off),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
]);

pub(super) const IDENTITY: Choice<CertificateIdentity> = Choice(&[
    ("common-name", CertificateIdentity::CommonName),
    ("subject", CertificateIdentity::Subject),
    ("san-dns", CertificateIdentity::Dns),
    ("san-uri", CertificateIdentity::Uri),
]);

pub(super) const CLIENT_ID: Choice<ClientIdBinding> = Choice(&[
    ("any", ClientIdBinding::Any),
    ("is-user", ClientIdBinding::IsUser),
    ("begins-with-user", ClientIdBinding::BeginsWithUser),
    ("from-user", ClientIdBinding::FromUser),
]);

pub(super) const TLS_RECORDS: Choice<TlsRecords> =
    Choice(&[("packet", TlsRecords::Packet), ("batch", TlsRecords::Batch)]);
