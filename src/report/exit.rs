//! The exit code of a run (design section 7).

/// Why a run exits with something else than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command line is wrong.
    Usage,
    /// The scenario is wrong.
    ScenarioInvalid,
    /// Two runs cannot be compared, or there is no baseline.
    NotComparable,
    /// Something unexpected.
    Unexpected,
    /// The target could not be reached or fell silent, or enrolment failed.
    TargetUnreachable,
    /// An agent was lost: the results are not whole.
    Incomplete,
    /// The run is not to be trusted: the generator was the bottleneck.
    NotTrustworthy,
    /// A signal stopped it.
    Interrupted,
    /// The server broke a rule.
    Findings,
    /// A threshold was missed, or an expectation does not hold.
    ThresholdMissed,
    /// Worse than the baseline.
    Regression,
}

impl Exit {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::ScenarioInvalid => 104,
            Self::NotComparable => 106,
            Self::Unexpected => 1,
            Self::TargetUnreachable => 92,
            Self::Incomplete => 91,
            Self::NotTrustworthy => 90,
            Self::Interrupted => 105,
            Self::Findings => 94,
            Self::ThresholdMissed => 99,
            Self::Regression => 93,
        }
    }

    /// The code when several reasons hold: the variants stand in the order of precedence.
    pub fn first(reasons: &[Self]) -> u8 {
        reasons
            .iter()
            .min_by_key(|exit| **exit as usize)
            .map_or(0, |exit| exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_target_outranks_an_invalid_run_and_a_missed_threshold() {
        let reasons = [
            Exit::ThresholdMissed,
            Exit::NotTrustworthy,
            Exit::TargetUnreachable,
        ];
        assert_eq!(Exit::first(&reasons), 92);
        assert_eq!(Exit::first(&[]), 0);
    }
}
