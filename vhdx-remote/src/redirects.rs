//! Decides which redirects are followed.

use reqwest::redirect;

use crate::failure::Failure;

const MAX_REDIRECTS: usize = 5;

/// Follows redirects within a server only.
pub(crate) fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let origin = attempt.previous().first().map(reqwest::Url::origin);
    if attempt.previous().len() <= MAX_REDIRECTS && origin.as_ref() == Some(&attempt.url().origin()) {
        return attempt.follow();
    }
    let to = match origin.as_ref() == Some(&attempt.url().origin()) {
        true => "itself again and again".to_owned(),
        false => place(attempt.url()),
    };
    attempt.error(Failure::Redirect { to })
}

/// Returns a text about the target of a redirect, without anything that may be secret.
pub(crate) fn place(url: &reqwest::Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
        (Some(host), None) => format!("{}://{host}", url.scheme()),
        (None, _) => format!("a {}: URL", url.scheme()),
    }
}
