//! The kinds of stores.

/// The kinds of stores, by the schemes of their URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    S3,
    Azure,
    Google,
    Https,
    Http,
}

pub(crate) const SCHEMES: [Scheme; 5] =
    [Scheme::S3, Scheme::Azure, Scheme::Google, Scheme::Https, Scheme::Http];

impl Scheme {
    /// Returns the scheme as it is in a URL.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Azure => "az",
            Scheme::Google => "gs",
            Scheme::Https => "https",
            Scheme::Http => "http",
        }
    }

    /// Returns which variables of the environment give the credentials of a store.
    pub(crate) const fn credentials(self) -> &'static str {
        match self {
            Scheme::S3 => {
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket"
            }
            Scheme::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            Scheme::Google => "GOOGLE_SERVICE_ACCOUNT, the path of a key file",
            Scheme::Https | Scheme::Http => "none: the URL may be signed",
        }
    }
}
