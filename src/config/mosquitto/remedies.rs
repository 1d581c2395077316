//! Errors about the TOML that was made of a `mosquitto.conf`, in the words of that file.

/// A table of the TOML, what an error says to write there, and what to write in a `mosquitto.conf`.
const REMEDIES: [(&str, &str, &str); 9] = [
    ("bridge", "username = \"NAME\"", "\"remote_username NAME\""),
    ("bridge", "certificate_file = \"FILE\"", "\"bridge_certfile FILE\""),
    ("bridge", "key_file = \"FILE\"", "\"bridge_keyfile FILE\""),
    ("bridge", "write \"automatic\"", "write \"start_type automatic\""),
    ("listener", "client_ca_file = \"FILE\"", "\"cafile FILE\""),
    ("listener", "certificate_file = \"FILE\"", "\"certfile FILE\""),
    ("listener", "key_file = \"FILE\"", "\"keyfile FILE\""),
    ("listener", "client_certificates = \"required\" (or \"optional\")", "\"require_certificate true\""),
    ("listener", "transport = \"tls\" (or \"wss\")", "\"certfile FILE\" and \"keyfile FILE\""),
];

/// The problem of a key, with what to write into a `mosquitto.conf` instead.
pub(in super::super) fn in_words_of_mosquitto(key: &str, problem: String) -> String {
    let table = key.split('.').next().unwrap_or_default();
    let of_table = REMEDIES.iter().filter(|(of, ..)| *of == table);
    of_table.fold(problem, |problem, (_, toml, conf)| problem.replace(toml, conf))
}
