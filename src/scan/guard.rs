//! Is this too much at once to be believed? (D6)

/// Thresholds. See the settings `guard.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Up to this many newly missing files are believed.
    pub missing_count: u64,
    /// Up to this share of the library's files, in per cent, is believed.
    pub missing_percent: u64,
    /// Below this many changed files nothing is asked.
    pub changed_count: u64,
    /// Above this share, in per cent, changes are asked about.
    pub changed_percent: u64,
}

/// What a scan found, after moves were paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// Files the library had.
    pub known: u64,
    /// Of these, newly not there.
    pub missing: u64,
    /// Of these, with another content.
    pub changed: u64,
}

/// Which half of the run waits for a person. The other goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holds {
    /// Nothing becomes missing.
    pub missing: bool,
    /// What changed is not sent.
    pub changed: bool,
}

/// Decides by number and share: a few files may always go, a large library may lose a few more.
#[must_use]
pub fn guard(findings: Findings, limits: Limits) -> Holds {
    let over = |n: u64, percent: u64| u128::from(n) * 100 > u128::from(findings.known) * u128::from(percent);
    Holds {
        missing: findings.missing > limits.missing_count && over(findings.missing, limits.missing_percent),
        changed: findings.changed >= limits.changed_count.max(1)
            && over(findings.changed, limits.changed_percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const LIMITS: Limits =
        Limits { missing_count: 20, missing_percent: 10, changed_count: 20, changed_percent: 30 };

    // D6
    #[rstest]
    #[case(100, 20, 0, false, false)]
    #[case(100, 21, 0, true, false)]
    #[case(1000, 100, 0, false, false)]
    #[case(1000, 101, 0, true, false)]
    #[case(10, 10, 0, false, false)]
    #[case(25, 25, 0, true, false)]
    #[case(100, 0, 30, false, false)]
    #[case(100, 0, 31, false, true)]
    #[case(20, 0, 19, false, false)]
    #[case(20, 0, 20, false, true)]
    #[case(100, 90, 90, true, true)]
    #[case(0, 0, 0, false, false)]
    fn more_than_number_and_share_waits_for_a_person(
        #[case] known: u64,
        #[case] missing: u64,
        #[case] changed: u64,
        #[case] holds_missing: bool,
        #[case] holds_changed: bool,
    ) {
        let holds = guard(Findings { known, missing, changed }, LIMITS);
        assert_eq!(holds, Holds { missing: holds_missing, changed: holds_changed });
    }
}
