//! Named groups of faults.

use std::time::Duration;

use super::{
    super::span::Span,
    fault::{Does, Fault, When},
};
use crate::{codec::PacketType, trace::Direction};

/// The names with their descriptions.
pub(in super::super) const PRESETS: [(&str, &str); 6] = [
    ("lossy-3g", "every packet is delayed by 150 ms, and one in 200 closes the connection"),
    ("nat-timeout", "after 30 s, connections are dead without a close"),
    ("broker-restart", "all connections are reset, and new ones are refused for 2 s"),
    ("takeover-storm", "at every tenth packet, the client is told that its session was taken over"),
    ("packet-id-exhaustion", "no PUBLISH of the client is ever acknowledged"),
    ("receive-maximum-1", "the broker accepts one message at a time (MQTT 5)"),
];

/// The faults of a preset; `client`: for this client only. `None`: there is no such preset.
pub fn preset(name: &str, client: Option<&str>) -> Option<Vec<Fault>> {
    let when = || When { client: client.map(Into::into), ..When::default() };
    let to_client = |packet| When { packet: Some(packet), direction: Some(Direction::ToClient), ..when() };
    let faults = match name {
        "lossy-3g" => vec![
            Fault::new(Does::Close, When { probability: Some(0.005), ..when() }),
            Fault::new(Does::Delay(Span(Duration::from_millis(150))), when()),
        ],
        "nat-timeout" => {
            vec![Fault::new(Does::HalfOpen, When { after: Some(Span(Duration::from_secs(30))), ..when() })]
        }
        "broker-restart" => {
            let lasts = Some(Span(Duration::from_secs(2)));
            vec![
                Fault::new(Does::Reset, When { lasts, ..when() }),
                Fault::new(Does::RefuseTcp, When { lasts, ..When::default() }),
            ]
        }
        "takeover-storm" => vec![Fault::new(Does::Disconnect(0x8E), When { every: Some(10), ..when() })],
        "packet-id-exhaustion" => [PacketType::Puback, PacketType::Pubrec, PacketType::Pubcomp]
            .map(|packet| Fault::new(Does::Drop, to_client(packet)))
            .into(),
        "receive-maximum-1" => vec![Fault::new(Does::ReceiveMaximum(1), to_client(PacketType::Connack))],
        _ => return None,
    };
    Some(faults.into_iter().map(|fault| Fault { name: Some(name.into()), ..fault }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_set() {
        for (name, _) in PRESETS {
            let faults = preset(name, Some("c")).expect(name);
            assert!(!faults.is_empty());
            faults.iter().for_each(|fault| fault.check().expect(name));
        }
        assert!(preset("no", None).is_none());
    }
}
