//! Settings that cannot be used. Their values are never shown.

use vhdx_remote::Remote;

/// Opening an object with these settings returns an error that names them.
#[track_caller]
fn fails(url: &str, settings: &[(&str, &str)], expected: &str) {
    let mut options = crate::options();
    for (name, value) in settings {
        options = options.setting(*name, *value);
    }
    let remote = Remote::new(options);
    let error = remote.open(&remote.add(url).unwrap()).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_key_of_a_service_account_is_not_shown() {
    for value in ["\"-----BEGIN PRIVATE KEY-----hidden\"", "hidden", "{\"private_key\": [\"hidden\"]}"] {
        fails("gs://bucket/x.vhdx", &[("google_service_account_key", value)], "google_service_account_key");
    }
    let azure = [("azure_storage_account_name", "account"), ("azure_storage_account_key", "hidden!")];
    fails("az://container/x.vhdx", &azure, "azure_storage_account_key");
    fails("s3://bucket/x.vhdx", &[("aws_secret_access_key", "hidden")], "aws_secret_access_key");
}

/// `object_store` would panic with these.
#[test]
fn settings_that_are_no_urls_or_no_header_values_are_errors() {
    let key = [("aws_access_key_id", "id"), ("aws_secret_access_key", "hidden")];
    let with = |name, value| [key[0], key[1], (name, value)];
    for endpoint in ["127.0.0.1:9000", "hidden.example.org", "", "https://", "file:///hidden", "s3://x"] {
        fails(
            "s3://bucket/x.vhdx",
            &with("aws_endpoint", endpoint),
            "aws_endpoint in the environment cannot",
        );
    }
    for text in ["hidden\n", "hidden\r\nX-Other: 1", "\u{e9}", "\0"] {
        fails("s3://bucket/x.vhdx", &with("aws_session_token", text), "not printable ASCII");
        fails("s3://bucket/x.vhdx", &with("aws_region", text), "not printable ASCII");
        fails("gs://bucket/x.vhdx", &[("google_bearer_token", text)], "not printable ASCII");
        fails("az://bucket/x.vhdx", &[("azure_storage_token", text)], "not printable ASCII");
    }
    fails("s3://bucket/x.vhdx", &with("aws_session_token", &"x".repeat(100_000)), "longer than 16 KiB");
}
