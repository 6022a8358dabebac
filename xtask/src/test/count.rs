//! How many tests ran, from what the test programs say.

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Count {
    /// Reads a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; …`; any other line counts nothing.
    pub(super) fn of_line(line: &str) -> Self {
        let Some((_verdict, numbers)) = line.strip_prefix("test result: ").and_then(|line| line.split_once(". "))
        else {
            return Self::default();
        };
        let number = |name: &str| {
            let part = numbers.split("; ").find_map(|part| part.strip_suffix(name));
            part.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
        };
        Self { passed: number("passed"), failed: number("failed") }
    }

    /// Both together.
    pub(super) const fn and(self, other: Self) -> Self {
        Self { passed: self.passed.saturating_add(other.passed), failed: self.failed.saturating_add(other.failed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_count() {
        let line = "test result: FAILED. 32 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.53s";
        assert_eq!(Count::of_line(line), Count { passed: 32, failed: 3 });
        for other in ["test a ... ok", "running 3 tests", "  test result: ok. 1 passed; 0 failed", ""] {
            assert_eq!(Count::of_line(other), Count::default(), "{other}");
        }
    }
}
