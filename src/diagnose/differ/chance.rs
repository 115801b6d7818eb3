//! How likely it is that chance alone did it.

/// The chance of drawing `marked` or more of `failed` marked things in `drawn` draws out of `all`, none put back: Fisher's
/// exact test, one side.
pub(super) fn hypergeometric_tail(marked: u64, drawn: u64, failed: u64, all: u64) -> f64 {
    let ways = |n: u64, k: u64| if k > n { f64::NEG_INFINITY } else { ln_choose(n, k) };
    let whole = ways(all, drawn);
    let mut sum = 0.0_f64;
    for hit in marked..=failed.min(drawn) {
        let term = (ways(failed, hit) + ways(all - failed, drawn - hit) - whole).exp();
        sum += term;
        // The terms fall from here on: what is so small adds nothing.
        if term < sum * 1e-12 && term > 0.0 {
            break;
        }
    }
    sum.min(1.0)
}

/// Wilson's score interval of a rate, 95 %.
pub(super) fn wilson(hits: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, rate) = (all as f64, hits as f64 / all as f64);
    let z = 1.96_f64;
    let middle = rate + z * z / (2.0 * n);
    let half = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, exact enough from ten on; below it the product itself.
fn ln_factorial(n: u64) -> f64 {
    if n < 10 {
        return (2..=n).map(|factor| (factor as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_fishers_exact_test() {
        // Fisher's tea: all four of four cups out of eight.
        assert!((hypergeometric_tail(4, 4, 4, 8) - 1.0 / 70.0).abs() < 1e-6);
        assert!((hypergeometric_tail(3, 4, 4, 8) - 17.0 / 70.0).abs() < 1e-6);
        assert!((hypergeometric_tail(0, 4, 4, 8) - 1.0).abs() < 1e-6);
        assert!(hypergeometric_tail(31, 1_200, 31, 48_000) < 1e-40);
    }

    #[test]
    fn an_interval_of_few_is_wide() {
        let (low, high) = wilson(2, 2);
        assert!(low < 0.4 && high > 0.99, "{low} {high}");
        let (low, high) = wilson(500, 1_000);
        assert!((0.46..0.48).contains(&low) && (0.52..0.54).contains(&high), "{low} {high}");
    }
}
