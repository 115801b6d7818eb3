//! Programs that only look whether a server works, by what they call themselves.

/// The health prober that calls itself so; `None` for everything that may come from a user.
#[must_use]
pub fn prober(user_agent: &str) -> Option<&'static str> {
    AGENTS.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
}

/// What stands in the User-Agent of a prober.
const AGENTS: &[(&str, &str)] = &[
    ("ELB-HealthChecker/", "AWS load balancer health check"),
    ("Amazon-Route53-Health-Check-Service", "Amazon Route 53 health check"),
    ("GoogleHC/", "Google Cloud health check"),
    ("kube-probe/", "Kubernetes probe"),
    ("Edge Health Probe", "Azure Front Door health probe"),
    ("Cloudflare-Healthchecks/", "Cloudflare health check"),
    ("Cloudflare-Traffic-Manager/", "Cloudflare load balancing monitor"),
    ("Envoy/HC", "Envoy health check"),
    ("Consul Health Check", "Consul health check"),
];
