//! Prometheus text 0.0.4, converted from OpenMetrics: `HELP` and `TYPE` have the names of counters with `_total`; there
//! is no `UNIT` and no end marker.

/// Converts the text.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // HELP precedes TYPE, but only TYPE has the type
    let mut help = None;
    for line in text.lines() {
        let Some(told) = line.strip_prefix("# ") else {
            out += line;
            out += "\n";
            continue;
        };
        match told.split_once(' ') {
            Some(("HELP", rest)) => help = Some(rest),
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let total = if kind == "counter" { "_total" } else { "" };
                if let Some((_, words)) = help.take().and_then(|help: &str| help.split_once(' ')) {
                    out += &format!("# HELP {name}{total} {words}\n");
                }
                out += &format!("# TYPE {name}{total} {kind}\n");
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_total_in_help_and_type() {
        let new = "# HELP a Some.\n# TYPE a counter\na_total 1\n# HELP b_seconds Time.\n# TYPE b_seconds gauge\n\
                   # UNIT b_seconds seconds\nb_seconds 0.5\n# EOF\n";
        let old = "# HELP a_total Some.\n# TYPE a_total counter\na_total 1\n# HELP b_seconds Time.\n\
                   # TYPE b_seconds gauge\nb_seconds 0.5\n";
        assert_eq!(from_open_metrics(new), old);
    }
}
