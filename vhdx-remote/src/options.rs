//! Defines [`RemoteOptions`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The environment variable that allows `http://` URLs to other machines.
const ALLOW_HTTP: &str = "VHDX_ALLOW_HTTP";

/// Limits and permissions of a [`Remote`](crate::Remote).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// Whether `http://` URLs may lead to other machines than this one. Everything is then sent without encryption.
    pub allow_http: bool,
    /// How long one request may take, including its body. A second is added for each 16 KiB to send or to receive.
    pub request_timeout: Duration,
    /// How long a server may send nothing, or take nothing of what is sent to it.
    pub idle_timeout: Duration,
    /// How often a request is repeated after a failure that may be temporary.
    pub retries: usize,
    /// The wait before the first repetition. On average it doubles with each one, up to a hundred times this.
    pub first_wait: Duration,
    /// The most bytes of blocks that are cached for all files together.
    pub cache: usize,
    /// How long a list may take.
    pub list_timeout: Duration,
    pub(crate) settings: Settings,
}

/// Settings of `object_store`. Their values may be secret.
#[derive(Clone, Default)]
pub(crate) struct Settings(Vec<(String, String)>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl Settings {
    /// Returns the settings that one kind of store has, each with its value.
    pub(crate) fn of<K: FromStr>(&self) -> impl Iterator<Item = (K, &str)> {
        self.named().map(|(_, key, value)| (key, value))
    }

    /// Returns the settings that one kind of store has, each with its name and value.
    pub(crate) fn named<K: FromStr>(&self) -> impl Iterator<Item = (&str, K, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), name.parse().ok()?, value.as_str())))
    }
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            allow_http: false,
            request_timeout: Duration::from_secs(180),
            idle_timeout: Duration::from_secs(30),
            retries: 8,
            first_wait: Duration::from_millis(100),
            cache: 16 << 20,
            list_timeout: Duration::from_secs(300),
            settings: Settings::default(),
        }
    }
}

impl RemoteOptions {
    /// Returns the default options, with what the environment allows: `VHDX_ALLOW_HTTP=true`.
    pub fn from_env() -> Self {
        let allow_http = std::env::var(ALLOW_HTTP).is_ok_and(|value| value == "true" || value == "1");
        Self { allow_http, ..Self::default() }
    }

    /// Sets a setting of `object_store`, such as `aws_endpoint`, which overrides the environment.
    #[must_use]
    pub fn setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.0.push((key.into(), value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_values_of_settings() {
        let options = RemoteOptions::default().setting("aws_secret_access_key", "hidden");
        let debug = format!("{options:?}");
        assert!(debug.contains("aws_secret_access_key") && !debug.contains("hidden"), "{debug}");
    }
}
