//! The settings of `object_store` that a store is made with, from the environment and from the options.
//!
//! They are checked first: `object_store` panics for some of them, and its errors may contain their values.

use std::str::FromStr;

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use url::Url;

use crate::failure::Failure;
use crate::options::RemoteOptions;
use crate::scheme::Scheme;

/// The longest accepted value in bytes, except for documents.
const MAX_VALUE: usize = 16 << 10;

/// A setting. Its value may be secret.
struct Setting {
    /// The name of the variable or option.
    name: String,
    kind: Kind,
    value: String,
}

/// How a setting is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The URL of a service.
    Endpoint,
    /// A part of a URL or of a header.
    Text,
    /// A path of the host, or a document such as a key.
    Document,
}

/// Returns an error for a setting with which `object_store` would panic.
pub(crate) fn ensure_usable(scheme: Scheme, options: &RemoteOptions) -> Result<(), Failure> {
    for Setting { name, kind, value } in given(scheme, options) {
        let is_text = value.len() <= MAX_VALUE && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let url = || Url::parse(&value).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let problem = match kind {
            Kind::Endpoint if !url().is_some_and(|url| url.has_host()) => {
                "it must be a URL that begins with https:// or http://"
            }
            Kind::Endpoint | Kind::Text if !is_text => {
                "it is longer than 16 KiB, or has characters that are not printable ASCII, such as a line end"
            }
            _ => continue,
        };
        return Err(Failure::Setting { name, problem });
    }
    Ok(())
}

/// Returns the names of all settings for a kind of store.
pub(crate) fn names(scheme: Scheme, options: &RemoteOptions) -> Vec<String> {
    let mut names: Vec<String> = given(scheme, options).into_iter().map(|one| one.name).collect();
    names.sort();
    names.dedup();
    names
}

fn given(scheme: Scheme, options: &RemoteOptions) -> Vec<Setting> {
    match scheme {
        Scheme::S3 => given_as("AWS_", options, of_s3),
        Scheme::Azure => given_as("AZURE_", options, of_azure),
        Scheme::Google => given_as("GOOGLE_", options, of_google),
        Scheme::Https | Scheme::Http => Vec::new(),
    }
}

/// Returns the settings that `object_store` reads from variables with this prefix, and those of the options.
fn given_as<K: FromStr>(prefix: &str, options: &RemoteOptions, kind: fn(&K) -> Kind) -> Vec<Setting> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let key: K = name.starts_with(prefix).then(|| name.to_ascii_lowercase().parse())?.ok()?;
        Some(Setting { name, kind: kind(&key), value })
    });
    let of_options = options.settings.named().map(|(name, key, value)| Setting {
        name: name.to_owned(),
        kind: kind(&key),
        value: value.to_owned(),
    });
    variables.chain(of_options).collect()
}

fn of_s3(key: &AmazonS3ConfigKey) -> Kind {
    match key {
        AmazonS3ConfigKey::Endpoint
        | AmazonS3ConfigKey::S3Endpoint
        | AmazonS3ConfigKey::MetadataEndpoint
        | AmazonS3ConfigKey::StsEndpoint
        | AmazonS3ConfigKey::ContainerCredentialsFullUri => Kind::Endpoint,
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile | AmazonS3ConfigKey::WebIdentityTokenFile => {
            Kind::Document
        }
        AmazonS3ConfigKey::Client(key) => of_client(key),
        _ => Kind::Text,
    }
}

fn of_azure(key: &AzureConfigKey) -> Kind {
    match key {
        AzureConfigKey::Endpoint
        | AzureConfigKey::MsiEndpoint
        | AzureConfigKey::AuthorityHost
        | AzureConfigKey::FabricTokenServiceUrl => Kind::Endpoint,
        AzureConfigKey::FederatedTokenFile => Kind::Document,
        AzureConfigKey::Client(key) => of_client(key),
        _ => Kind::Text,
    }
}

fn of_google(key: &GoogleConfigKey) -> Kind {
    match key {
        GoogleConfigKey::BaseUrl => Kind::Endpoint,
        GoogleConfigKey::ServiceAccount
        | GoogleConfigKey::ServiceAccountKey
        | GoogleConfigKey::ApplicationCredentials => Kind::Document,
        GoogleConfigKey::Client(key) => of_client(key),
        _ => Kind::Text,
    }
}

fn of_client(key: &ClientConfigKey) -> Kind {
    match key {
        ClientConfigKey::ProxyCaCertificate => Kind::Document,
        _ => Kind::Text,
    }
}
