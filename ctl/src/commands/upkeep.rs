//! `rotate log`, `clear dnscache`, `reset counters` and `drain`.

use convoy_proto::admin::{
    ClearDnsCacheRequest, DrainReply, DrainRequest, ResetCountersRequest, RotateLogRequest,
};
use serde_json::json;

use super::Done;
use crate::cli::{Clear, Reset};
use crate::client::Client;
use crate::missing;
use crate::output::{Answer, Output};

pub(super) async fn rotate_log(mut client: Client, output: &Output) -> Done {
    client.rotate_log(RotateLogRequest {}).await?;
    Ok(output.answer(&Answer::message("Logging file rotated."))?)
}

pub(super) async fn clear(mut client: Client, output: &Output, what: Clear) -> Done {
    let Clear::Dnscache { domain } = what;
    let request = ClearDnsCacheRequest { domain: domain.unwrap_or_default() };
    let reply = client.clear_dns_cache(request).await?.into_inner();
    missing::told(output, Answer::message("DNS cache cleared."), &reply.missing)
}

pub(super) async fn reset(mut client: Client, output: &Output, what: Reset) -> Done {
    let Reset::Counters = what;
    let reply = client.reset_counters(ResetCountersRequest {}).await?.into_inner();
    missing::told(output, Answer::message("Traffic counters reset."), &reply.missing)
}

pub(super) async fn drain(mut client: Client, output: &Output) -> Done {
    let reply = client.drain(DrainRequest {}).await?.into_inner();
    Ok(output.answer(&drained(&reply))?)
}

fn drained(reply: &DrainReply) -> Answer {
    let kept = match reply.kept {
        0 => String::new(),
        n => format!("; {n} stay here, since no other node can lead them"),
    };
    Answer {
        text: String::new(),
        data: json!({"handedOver": reply.handed_over, "kept": reply.kept}),
        message: format!("Drained: {} partition(s) handed over{kept}.", reply.handed_over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_stay_are_told() {
        let message = |handed_over, kept| drained(&DrainReply { handed_over, kept }).message;
        assert_eq!(message(8, 0), "Drained: 8 partition(s) handed over.");
        assert_eq!(
            message(0, 8),
            "Drained: 0 partition(s) handed over; 8 stay here, since no other node can lead them."
        );
    }
}
