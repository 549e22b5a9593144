//! The agent servers of one test, found as a person would: in the process table.

use std::path::Path;

/// Every agent server whose launch file lies below this folder.
pub(crate) fn agents(below: &Path) -> Vec<i32> {
    let folder = below.to_string_lossy().into_owned();
    let of_ours = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("\0agent\0--launch\0") && line.contains(&folder)
    };
    let pids = std::fs::read_dir("/proc").expect("Linux").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(of_ours)
        .collect()
}

/// Ends them with everything in their group: they are built to outlive their endpoint.
pub(crate) fn end_agents(below: &Path) {
    for pid in agents(below) {
        let group = rustix::process::Pid::from_raw(pid).expect("not 0");
        // Gone by now is as good.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
}
