//! Who may connect, behind the router's [`Authenticate`] port.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    codec::ConnectReturnCode,
    router::{Authenticate, Credentials, Identity, Refusal, Verdict},
};

/// No users are configured: whoever may reach a listener is anonymous, whatever name it gives.
#[derive(Clone, Debug)]
pub struct Anonymous {
    /// `None`: on loopback listeners alone.
    pub allow: Option<bool>,
    /// What each listener says of its own, which goes first; by [`Peer::listener`](crate::router::Peer).
    pub listeners: Arc<ArcSwap<Vec<Option<bool>>>>,
}

impl Authenticate for Anonymous {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let anybody = || Ok(Identity { user: credentials.username.map(Into::into), ..Identity::default() }).into();
        let listener = self.listeners.load().get(usize::from(credentials.peer.listener)).copied().flatten();
        // a name in a certificate that was checked is no anonymous client's
        let why = match listener.or(self.allow) {
            _ if credentials.certificate_name.is_some() => return anybody(),
            Some(true) => return anybody(),
            None if credentials.peer.loopback_listener => return anybody(),
            None => {
                "no users are configured and this listener is not on loopback; `allow_anonymous = true` would let it in"
            }
            Some(false) => "no users are configured and `allow_anonymous = false`",
        };
        Err(Refusal { code: ConnectReturnCode::NotAuthorized, why }).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Peer;

    #[test]
    fn unset_means_loopback_listeners_only() {
        for (allow, loopback_listener, allowed) in [
            (None, true, true),
            (None, false, false),
            (Some(true), false, true),
            (Some(true), true, true),
            (Some(false), true, false),
            (Some(false), false, false),
        ] {
            let peer = Peer { address: ([127, 0, 0, 1], 5000).into(), loopback_listener, listener: 0 };
            let credentials =
                Credentials { client_id: "c", username: Some("u"), certificate_name: None, password: Some(b"p"), peer };
            let Verdict::Decided(got) = (Anonymous { allow, listeners: Arc::default() }).authenticate(&credentials)
            else {
                panic!("at once")
            };
            assert_eq!(got.is_ok(), allowed, "allow_anonymous {allow:?}, loopback {loopback_listener}");
            // what the listener says goes first, and a name from a certificate needs no permission to have none
            for (own, certificate_name) in [(!allowed, None), (allowed, Some("lamp"))] {
                let opposite = Anonymous { allow, listeners: Arc::new(ArcSwap::from_pointee(vec![Some(own)])) };
                let credentials = Credentials { certificate_name, ..credentials };
                let Verdict::Decided(got) = opposite.authenticate(&credentials) else { panic!("at once") };
                assert_eq!(got.is_ok(), own || certificate_name.is_some());
            }
        }
    }
}
