//! Two Topic Filters and what they have in common (MQTT 3.1.1 section 4.7).

use crate::topic::TopicFilter;

/// Does every topic that `inner` matches match `outer`?
pub(super) fn covers(outer: &TopicFilter, inner: &TopicFilter) -> bool {
    // wildcards in front do not match topics that begin with $
    if inner.as_str().starts_with('$') && outer.as_str().starts_with(['+', '#']) {
        return false;
    }
    let (mut outer, mut inner) = (outer.levels(), inner.levels());
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (_, Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(o), Some(i)) if o == i => {}
            _ => return false,
        }
    }
}

/// Is there a topic that both match?
pub(super) fn overlap(a: &TopicFilter, b: &TopicFilter) -> bool {
    let dollar = |x: &TopicFilter, y: &TopicFilter| x.as_str().starts_with('$') && y.as_str().starts_with(['+', '#']);
    if dollar(a, b) || dollar(b, a) {
        return false;
    }
    let (mut a, mut b) = (a.levels(), b.levels());
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_filters_have_in_common() {
        let table = [
            ("#", "a/b", true, true),
            ("#", "#", true, true),
            ("#", "$SYS/#", false, false),
            ("+/a", "$SYS/a", false, false),
            ("a/#", "a", true, true),
            ("a/#", "a/+/#", true, true),
            ("a/+", "a/#", false, true),
            ("a/+", "a/b", true, true),
            ("a/+", "a/b/c", false, false),
            ("a/b", "a/+", false, true),
            ("a", "a/#", false, true),
            ("a", "a/b", false, false),
            ("+/b", "a/+", false, true),
            ("a/#", "b/#", false, false),
        ];
        for (a, b, covered, common) in table {
            let [x, y] = [a, b].map(|text| TopicFilter::new(text).unwrap());
            assert_eq!((covers(x, y), overlap(x, y), overlap(y, x)), (covered, common, common), "{a} {b}");
        }
    }
}
