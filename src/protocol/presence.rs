//! Who is attached to a run (contract 10.2): told in `view=journal` as `event: presence`, never journaled.
//!
//! Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One attached client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// `ana@laptop`.
    pub from: String,
    #[serde(default)]
    pub read_only: bool,
    /// The `Ashore-Client` it named itself with, so that it knows itself; absent for one that named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// The data of `event: presence`.
pub fn to_json(clients: &[Client]) -> Value {
    json!({"clients": clients})
}

/// Reads it; what cannot be read is nobody.
pub fn from_json(data: &Value) -> Vec<Client> {
    let clients = data.get("clients").and_then(Value::as_array);
    clients
        .into_iter()
        .flatten()
        .filter_map(|one| Client::deserialize(one).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_reads_back_and_anything_else_is_nobody() {
        let ana = Client {
            from: "ana@laptop".into(),
            read_only: true,
            client: None,
        };
        let told = to_json(std::slice::from_ref(&ana));
        assert_eq!(
            told,
            json!({"clients": [{"from": "ana@laptop", "readOnly": true}]})
        );
        assert_eq!(from_json(&told), [ana]);
        for bad in [json!({}), json!([]), json!({"clients": 3})] {
            assert_eq!(from_json(&bad), []);
        }
        let some = json!({"clients": [3, {"from": 1}, {"from": "bo", "later": {}}]});
        assert_eq!(from_json(&some)[0].from, "bo");
    }
}
