//! Prefixes of Client Identifiers, and the identifiers that the broker assigns.

use dunlin::{Config, config::AuthConfig};

use crate::support::{
    Broker, config,
    five::{self, Five},
    raw::Connect,
};

fn broker(change: impl FnOnce(&mut AuthConfig)) -> Broker {
    let mut auth = AuthConfig::default();
    change(&mut auth);
    Broker::new(Config { auth, ..config() })
}

fn assigned(broker: &Broker) -> String {
    let (_, connack) = Five::connect(broker.address(), &five::Connect::new(""));
    connack.properties.string(0x12).expect("an Assigned Client Identifier")
}

#[test]
fn client_identifiers_with_other_prefixes_are_refused() {
    let broker = broker(|auth| auth.client_id_prefixes = vec!["lamp-".into(), "auto-".into()]);
    broker.connect(&Connect::new("lamp-1"), 0);
    assert!(assigned(&broker).starts_with("auto-"));
    broker.refuses(&Connect::new("lam"), 2);
    broker.refuses(&Connect::new("switch-1"), 2);
}

#[test]
fn assigned_client_identifiers_have_the_configured_prefix() {
    assert!(assigned(&broker(|_| {})).starts_with("auto-"));
    assert!(assigned(&broker(|auth| auth.auto_id_prefix = Some("x".into()))).starts_with('x'));
    assert_eq!(assigned(&broker(|auth| auth.auto_id_prefix = None)).len(), 16);
    let none = broker(|auth| auth.allow_zero_length_client_id = false);
    none.refuses(&Connect::new(""), 2);
    none.connect(&Connect::new("c"), 0);
    // a prefix that they do not have
    let others = broker(|auth| auth.client_id_prefixes = vec!["lamp-".into()]);
    others.refuses(&Connect::new(""), 2);
}
