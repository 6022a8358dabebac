//! Asks the broker at its door for workloads, over mTLS with this command's own SVID. The broker must prove who it is
//! before anything is sent.

use std::time::Duration;

use dev::apps::Call;
use http::{Method, Uri};
use runtime::{causes::causes, mtls::Connector, process::Process, ready_file::ReadyFile, workload::Workload};
use serde_json::Value;
use tokio::time::timeout;

use super::Options;

/// Longest wait for an identity: an agent that knows this process answers at once.
const IDENTITY_TIME_MAX: Duration = Duration::from_secs(10);
const HTTPS_PORT: u16 = 443;

/// The broker's answer to a form at `/administer`.
///
/// # Errors
/// Why there is none, or why it refused, in words for people.
pub(super) fn ask(options: &Options, fields: &[(&str, String)]) -> Result<Value, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|fault| format!("cannot start: {fault}"))?.block_on(told(options, fields))
}

async fn told(options: &Options, fields: &[(&str, String)]) -> Result<Value, String> {
    let address = &options.broker;
    runtime::tls::install_provider();
    let process = Process::new(ReadyFile::default());
    let workload = Workload::connect(&options.workload_api, &process);
    if timeout(IDENTITY_TIME_MAX, workload.wait()).await.is_err() {
        let reasons = process.telemetry.not_ready().into_iter().map(|(_name, reason)| reason).collect::<Vec<_>>();
        return Err(format!(
            "no identity from `{}`: {}\nthis command asks as a workload: whoever runs it here needs an entry in SPIRE, whose \
             ID a rule for `administer` names",
            options.workload_api,
            reasons.join("; ")
        ));
    }
    let connected = Connector::new(workload).connect(address, &options.broker_id).await;
    let stream = connected.map_err(|fault| format!("the broker at `{address}`: {}", causes(&fault)))?;
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let call = Call::new(Method::POST, &format!("https://{address}/administer")).form(&fields);
    let answer = call.send_over(stream).await;
    let answer = answer.map_err(|fault| {
        format!("the broker at `{address}` did not answer, and whether it was done is not known: {}", causes(&fault))
    })?;
    let body = answer.json();
    if answer.status.is_success() {
        return Ok(body);
    }
    let text = |name: &str| body.get(name).and_then(|text| text.as_str());
    let code = text("refusal").unwrap_or("no code");
    let why = text("error_description").unwrap_or("it does not say why");
    Err(format!("the broker refused ({code}): {why}\n`countersign explain {code}` tells what to do"))
}

/// Host and port of the broker's URL, as an argument.
pub(super) fn address(url: &str) -> Result<String, String> {
    let wrong = || "no https://host[:port]".to_owned();
    let uri: Uri = url.parse().map_err(|_fault| wrong())?;
    let authority = uri.authority().filter(|_any| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(HTTPS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_named_as_sidecars_name_it() {
        assert_eq!(address("https://broker.agents.svc").as_deref(), Ok("broker.agents.svc:443"));
        assert_eq!(address("https://127.0.0.1:8443/").as_deref(), Ok("127.0.0.1:8443"));
        assert_eq!(address("https://[::1]:8443").as_deref(), Ok("[::1]:8443"));
        for url in ["http://broker", "broker:8443", "https://a@broker", "https://broker/token", "https://broker?x", ""]
        {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
