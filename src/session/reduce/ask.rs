//! Questions of the agent: open until they are answered or their turn is over.
//!
//! Pure. A question that has been seen once never opens again, however often it is told.

use crate::protocol::entry::PermissionRequest;
use crate::session::reduce::At;
use crate::session::state::{OpenPermission, Session};
use crate::session::transcript::Level;

impl Session {
    pub(super) fn asked(&mut self, at: At, request: &PermissionRequest) {
        if self.index.asked.insert(request.request.clone()) {
            self.permissions.push(OpenPermission {
                request: request.request.clone(),
                tool_call: request.tool_call.clone(),
                title: request.title.clone(),
                kind: request.kind.clone(),
                options: request.options.clone(),
                raw_input: request.raw_input.clone(),
                since: at.time,
                seq: at.seq,
            });
        }
    }

    /// The first answer wins. Who gave it is told in a line; what a policy decided is not.
    pub(super) fn permission_answered(
        &mut self,
        at: At,
        request: &str,
        tool_call: &str,
        option: &str,
        from: Option<&str>,
    ) {
        self.index.asked.insert(request.to_owned());
        let open = self.permissions.iter().position(|one| {
            one.request == request || (!tool_call.is_empty() && one.tool_call == tool_call)
        });
        let Some(open) = open.map(|place| self.permissions.remove(place)) else {
            return;
        };
        if let Some(from) = from {
            let chosen = open.options.iter().find(|one| one.id == option);
            let name = match (chosen, option) {
                (Some(chosen), _) => chosen.name.as_str(),
                (None, "_cancelled") => "cancelled",
                (None, other) => other,
            };
            let text = format!("{}: {name} ({from})", open.title);
            self.notice(at, Level::Info, &text, None);
            self.answers.push(at.seq);
        }
    }
}
