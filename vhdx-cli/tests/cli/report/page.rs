//! The HTML page, as headless Chromium shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vhdx_testkit::shared;

use super::estate::{self, Estate};
use crate::run;

fn page(estate: &Estate) -> PathBuf {
    let path = estate.path("report.html");
    run!(
        "report",
        estate.0.path(),
        "--html",
        path,
        "--older-than",
        "30d",
        "--min-free",
        "1%",
        "--deeper-than",
        "10"
    )
    .exits(1);
    path
}

/// Runs Chromium without a network, and returns its output.
fn chromium(page: &Path, arguments: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--hide-scrollbars",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update", "--no-first-run"]);
    command.args(["--disable-sync", "--disable-default-apps", "--host-resolver-rules=MAP * ~NOTFOUND"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    let output = command.args(arguments).arg(format!("file://{}", page.display())).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn chromium_shows_every_family_and_asks_for_nothing() {
    let Some(()) = shared::program("chromium") else { return };
    let estate = estate::large();
    let page = page(&estate);
    let log = estate.path("net.json");
    let (dom, messages) = chromium(&page, &["--dump-dom", &format!("--log-net-log={}", log.display())]);
    let console: Vec<&str> = messages.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");

    let families: Vec<&str> = dom.split("<details class=\"family").skip(1).collect();
    assert_eq!(families.len(), 4, "{dom}");
    for family in &families {
        assert!(
            family.contains("<svg class=\"chain\"") && family.contains("<h3 class=\"path\">Map of "),
            "{family}"
        );
        assert!(
            family.contains("<svg class=\"map\"") || family.contains("The map cannot be drawn"),
            "{family}"
        );
    }
    assert_eq!(dom.matches("<svg class=\"map\"").count(), 1 + 3 + 1);
    assert!(!dom.contains("<script") && dom.contains("&lt;script&gt;") && !dom.contains('\u{202e}'));

    assert_eq!(requested(&log), [] as [String; 0]);

    // A page that asks for something is noticed.
    let text = fs::read_to_string(&page).unwrap();
    let asking = text.replace("<main>", "<main><img src=\"http://example.invalid/x.png\">");
    fs::write(&page, asking.replace("Content-Security-Policy", "x")).unwrap();
    chromium(&page, &["--dump-dom", &format!("--log-net-log={}", log.display())]);
    assert!(requested(&log).contains(&"http://example.invalid/x.png".to_owned()));
}

/// Returns the addresses outside of the page that it asks for, from a network log.
///
/// Chromium's own requests have no page as their initiator. The log has no end if Chromium ended while it wrote it.
fn requested(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let log: Value = serde_json::from_str(&text).unwrap_or_else(|_| {
        serde_json::from_str(&format!("{}]}}", text.trim_end().trim_end_matches(','))).unwrap()
    });
    let of_page =
        |event: &&Value| event["params"]["initiator"].as_str().is_some_and(|by| by != "not an origin");
    let url = |event: &Value| Some(event["params"]["url"].as_str()?.to_owned());
    log["events"].as_array().unwrap().iter().filter(of_page).filter_map(url).collect()
}

/// Makes pictures for people to look at, in `target/tmp/report-page`.
#[test]
fn chromium_draws_the_page_in_light_dark_and_print() {
    let Some(()) = shared::program("chromium") else { return };
    let estate = estate::large();
    let page = page(&estate);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-page");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&page, folder.join("report.html")).unwrap();
    let picture = |name: &str, settings: &[&str]| {
        let path = folder.join(name);
        let _ = fs::remove_file(&path);
        let way = if name.ends_with("pdf") { "print-to-pdf" } else { "screenshot" };
        let target = format!("--{way}={}", path.display());
        let settings = settings.iter().copied().chain([target.as_str(), "--no-pdf-header-footer"]);
        chromium(&page, &settings.collect::<Vec<_>>());
        fs::read(path).unwrap()
    };
    let light = picture("light.png", &["--window-size=1120,4200", "--blink-settings=preferredColorScheme=1"]);
    let dark = picture("dark.png", &["--window-size=1120,4200", "--blink-settings=preferredColorScheme=0"]);
    let narrow = picture("narrow.png", &["--window-size=500,4200"]);
    let print = picture("print.pdf", &[]);
    assert!(light.len() > 20_000 && narrow.len() > 20_000, "{} {}", light.len(), narrow.len());
    assert!(dark != light, "the page is the same in both colour schemes");
    assert!(print.starts_with(b"%PDF-") && print.len() > 20_000);
}
