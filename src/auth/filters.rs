//! Relations of two Topic Filters (MQTT 3.1.1 section 4.7).

use crate::topic::TopicFilter;

/// Does `outer` match every topic that `inner` matches?
pub(super) fn covers(outer: &TopicFilter, inner: &TopicFilter) -> bool {
    // wildcards in the first level do not match topics with $
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

/// The filter for the topics that both match; `None`: there are none.
pub(super) fn common(a: &TopicFilter, b: &TopicFilter) -> Option<String> {
    let dollar = |x: &TopicFilter, y: &TopicFilter| x.as_str().starts_with('$') && y.as_str().starts_with(['+', '#']);
    if dollar(a, b) || dollar(b, a) {
        return None;
    }
    let (mut a, mut b) = (a.levels(), b.levels());
    let mut levels = Vec::new();
    loop {
        match (a.next(), b.next()) {
            // # also matches the parent level
            (Some("#") | None, None) | (None, Some("#")) => break,
            (Some("#"), Some(level)) => {
                levels.push(level);
                levels.extend(b);
                break;
            }
            (Some(level), Some("#")) => {
                levels.push(level);
                levels.extend(a);
                break;
            }
            (Some("+"), Some(level)) | (Some(level), Some("+")) => levels.push(level),
            (Some(x), Some(y)) if x == y => levels.push(x),
            _ => return None,
        }
    }
    // an empty level before /# alone is not a topic
    Some(levels.join("/")).filter(|common| !common.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicName;

    #[test]
    fn the_common_filter_of_two_filters() {
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
            let overlap = |x, y| super::common(x, y).is_some();
            assert_eq!((covers(x, y), overlap(x, y), overlap(y, x)), (covered, common, common), "{a} {b}");
        }
    }

    #[test]
    fn a_topic_matches_two_filters_if_it_matches_their_common_filter() {
        let of = |levels: &[&str], most: usize| {
            let mut all = vec![String::new()];
            for n in 0..most {
                let longer = all.iter().filter(|text| text.split('/').count() == n || n == 0);
                let longer = longer.flat_map(|text| levels.iter().map(move |level| (text, level)));
                let longer: Vec<_> = longer
                    .map(|(text, level)| if n == 0 { (*level).to_owned() } else { format!("{text}/{level}") })
                    .collect();
                all.extend(longer);
            }
            all.retain(|text| !text.is_empty());
            all
        };
        let filters: Vec<_> =
            of(&["a", "b", "$x", "+", "#"], 3).into_iter().filter(|text| TopicFilter::new(text).is_ok()).collect();
        let topics = of(&["a", "b", "$x"], 4);
        for a in &filters {
            for b in &filters {
                let [x, y] = [a, b].map(|text| TopicFilter::new(text).unwrap());
                let common = common(x, y);
                let common = common.as_deref().map(|text| TopicFilter::new(text).expect(text));
                for topic in &topics {
                    let topic = TopicName::new(topic).unwrap();
                    let both = x.matches(topic) && y.matches(topic);
                    let found = common.is_some_and(|filter| filter.matches(topic));
                    assert_eq!(found, both, "{a} {b} {topic:?}: {common:?}");
                }
            }
        }
    }
}
