//! In come request targets and the sentences that quote them, out they go without the secrets that clients put there:
//! query values, path parameters (`;jsessionid=…`) and the user's name and password. Names stay, so that one request
//! can still be told from another.

use std::borrow::Cow;

/// What stands for something that was cut.
const CUT: &str = "…";

/// Names longer than this are taken for values that merely contain a `=`.
const NAME_OCTETS: usize = 32;

/// A request target of any form (RFC 9112 section 3.2).
pub(super) fn target(target: &str) -> Cow<'_, str> {
    if !target.contains(['?', ';', '@', '#']) {
        return Cow::Borrowed(target);
    }
    let (before, tail) = target.split_at(target.find(['?', '#']).unwrap_or(target.len()));
    let (authority, path) = before.split_at(authority_octets(before));
    let mut kept = String::with_capacity(target.len());
    kept.push_str(&userinfo(authority));
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            kept.push('/');
        }
        parameters(segment, &mut kept);
    }
    // A target has no fragment (RFC 9112 section 3.2); where somebody sent one, no part of it is needed.
    let (query, fragment) = tail.split_at(tail.find('#').unwrap_or(tail.len()));
    if let Some(query) = query.strip_prefix('?') {
        kept.push('?');
        for (index, element) in query.split('&').enumerate() {
            if index > 0 {
                kept.push('&');
            }
            pair(element, &mut kept);
        }
    }
    if !fragment.is_empty() {
        kept.push('#');
        kept.push_str(CUT);
    }
    Cow::Owned(kept)
}

/// A host, or an authority with the user's name and password in front of it.
pub(super) fn userinfo(authority: &str) -> Cow<'_, str> {
    let Some((before, host)) = authority.rsplit_once('@') else {
        return Cow::Borrowed(authority);
    };
    let scheme = before.split_once("//").map_or("", |(scheme, _)| scheme);
    let slashes = if before.contains("//") { "//" } else { "" };
    Cow::Owned(format!("{scheme}{slashes}{CUT}@{host}"))
}

/// A sentence that may quote targets: every word that looks like one is cut like one.
pub(super) fn prose(prose: &str) -> Cow<'_, str> {
    if !prose.split(' ').any(quotes_target) {
        return Cow::Borrowed(prose);
    }
    let words = prose.split(' ').map(|word| if quotes_target(word) { target(word) } else { Cow::Borrowed(word) });
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

fn quotes_target(word: &str) -> bool {
    let query = word
        .split_once('?')
        .is_some_and(|(path, query)| query.contains('=') || (path.contains('/') && !query.is_empty()));
    let parameters = word.contains('/') && word.split_once(';').is_some_and(|(_, rest)| rest.contains('='));
    query || parameters || (word.contains("//") && word.contains('@'))
}

/// How much of what precedes the query is scheme and authority: up to the path of `http://host/path`, all of the
/// authority form `host:port`, nothing of `/path`.
fn authority_octets(before: &str) -> usize {
    match before.find("//") {
        Some(at) if !before.get(..at).is_some_and(|scheme| scheme.contains('/')) => {
            let start = at + 2;
            before.get(start..).and_then(|rest| rest.find('/')).map_or(before.len(), |path| start + path)
        }
        _ => before.find('/').unwrap_or(before.len()),
    }
}

/// A path segment: what follows a `;` is a parameter (RFC 3986 section 3.3).
fn parameters(segment: &str, kept: &mut String) {
    let mut parts = segment.split(';');
    kept.push_str(parts.next().unwrap_or_default());
    for part in parts {
        kept.push(';');
        pair(part, kept);
    }
}

/// `name=value`. What has no value may be one itself (`?dGhlIGtleQ==`), so it is cut as a whole.
fn pair(element: &str, kept: &mut String) {
    match element.split_once('=') {
        Some((name, value)) if name.len() <= NAME_OCTETS && !value.trim_matches('=').is_empty() => {
            kept.push_str(name);
            kept.push('=');
            kept.push_str(CUT);
        }
        _ if element.is_empty() => {}
        _ => kept.push_str(CUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_and_values_go() {
        assert_eq!(target("/a/b"), "/a/b");
        assert_eq!(target("/login?user=ann&password=hunter2&go"), "/login?user=…&password=…&…");
        assert_eq!(target("/app;jsessionid=8f3c/x;v=1?q=a=b&c=d?e"), "/app;jsessionid=…/x;v=…?q=…&c=…");
        assert_eq!(target("http://ann:hunter2@shop.example/x?k=v#t"), "http://…@shop.example/x?k=…#…");
        assert_eq!(target("/?dGhlIGtleQ=="), "/?…");
        assert_eq!(target("shop.example:443"), "shop.example:443");
        assert_eq!(target("ann:hunter2@shop.example:443"), "…@shop.example:443");
        assert_eq!(target("/@handle/posts"), "/@handle/posts");
        assert_eq!(target("/x?"), "/x?");
        assert_eq!(target("*"), "*");
    }

    #[test]
    fn a_sentence_that_quotes_a_target_is_cut_as_well() {
        assert_eq!(prose("GET /pay?card=4111 64..152, is it? yes"), "GET /pay?card=… 64..152, is it? yes");
        assert_eq!(prose("to http://ann:pw@10.0.0.1/ it went"), "to http://…@10.0.0.1/ it went");
        assert_eq!(prose("FIN, ack 64 (why?)"), "FIN, ack 64 (why?)");
    }

    proptest! {
        #[test]
        fn no_value_survives(path in "(/[a-z]{0,6}){1,3}", name in "[a-z]{1,8}", value in "[A-Z0-9=+%?;/.@:]{0,12}[A-Z0-9]{6,20}",
                             more in "(&[a-z]{1,5}=[a-z]{0,5}){0,3}", host in "(http://[a-z]{1,5}:Q9Q9Q9Q9@host)?") {
            let sent = format!("{host}{path}?{name}={value}{more}");
            for shown in [target(&sent).into_owned(), prose(&format!("GET {sent} 64..152")).into_owned()] {
                let secret = value.get(value.len() - 6..).unwrap_or_default();
                prop_assert!(!shown.contains(secret), "{shown}");
                prop_assert!(!shown.contains("Q9Q9"), "{shown}");
                prop_assert!(shown.contains(name.as_str()), "{shown}");
            }
        }

        #[test]
        fn nothing_makes_it_stumble(sent in ".*") {
            let _ = (target(&sent), prose(&sent), userinfo(&sent));
        }
    }
}
