//! Which health prober made this request. Probes are evidence, not users' requests, so a wrong guess here would hide a
//! failure: probers without a mark of their own (Varnish, nginx Plus, Apache httpd) are not guessed at.

use crate::event::{RequestSection, Signs, prober};

/// The health prober that made the request, by name; `None` for everything that may come from a user.
#[must_use]
pub fn probe(request: &RequestSection) -> Option<&'static str> {
    match request.user_agent() {
        Some(agent) => prober(agent).or_else(|| copy(request)),
        None => anonymous(request).or_else(|| copy(request)),
    }
}

/// What was made for no client, and is no prober's.
fn copy(request: &RequestSection) -> Option<&'static str> {
    request.signs.has(Signs::ASIDE).then_some("Envoy's copy for a mirror")
}

/// Probers that send no User-Agent, but a request that no browser and no library sends.
fn anonymous(request: &RequestSection) -> Option<&'static str> {
    if request.forwarded || request.chunked || request.content_length.is_some_and(|length| length > 0) {
        return None;
    }
    match (request.method(), request.target(), request.minor_version, request.host()) {
        ("OPTIONS", _, 0, None) => Some("HAProxy health check"),
        ("GET", "/", 1, Some("127.0.0.1")) => Some("Azure Application Gateway default probe"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use crate::event::Protocol;
    use crate::texts::Texts;

    fn request(
        method: &str,
        target: &str,
        minor_version: u8,
        host: Option<&str>,
        agent: Option<&str>,
    ) -> RequestSection {
        RequestSection {
            length: 0,
            texts: Texts::new([Some(method), Some(target), host, agent].map(|text| text.map(str::as_bytes))),
            method_mark: 0,
            target_mark: 0,
            minor_version,
            content_length: None,
            chunked: false,
            upgrade: false,
            persistent: minor_version > 0,
            forwarded: false,
            forwarded_for: None,
            signs: Signs::default(),
            marks: SmallVec::new(),
            simple: false,
            protocol: Protocol::Http,
            cut: false,
        }
    }

    #[test]
    fn a_prober_is_known_by_its_user_agent() {
        for (agent, name) in [
            ("ELB-HealthChecker/2.0", "AWS load balancer health check"),
            ("kube-probe/1.29", "Kubernetes probe"),
            ("GoogleHC/1.0", "Google Cloud health check"),
            (
                "Mozilla/5.0 (compatible; Cloudflare-Traffic-Manager/1.0; +https://www…)",
                "Cloudflare load balancing monitor",
            ),
        ] {
            assert_eq!(probe(&request("GET", "/", 1, Some("app"), Some(agent))), Some(name));
        }
        assert_eq!(probe(&request("GET", "/", 1, Some("app"), Some("curl/8.5.0"))), None);
    }

    #[test]
    fn haproxys_check_is_options_without_host() {
        assert_eq!(probe(&request("OPTIONS", "/", 0, None, None)), Some("HAProxy health check"));
        assert_eq!(probe(&request("OPTIONS", "/api", 1, Some("app"), None)), None);
    }

    #[test]
    fn azures_default_probe_names_the_loopback_address() {
        let azure = Some("Azure Application Gateway default probe");
        assert_eq!(probe(&request("GET", "/", 1, Some("127.0.0.1"), None)), azure);
        assert_eq!(probe(&request("GET", "/", 1, Some("127.0.0.1:8080"), None)), None);
        assert_eq!(probe(&request("GET", "/", 1, Some("127.0.0.1"), Some("curl/8.5.0"))), None);
    }

    #[test]
    fn a_request_without_user_agent_is_no_probe_by_itself() {
        assert_eq!(probe(&request("GET", "/health", 1, Some("app"), None)), None);
    }
}
