//! The tests' own PostgreSQL: started, stopped, killed and started again, with its data.

use cordon_sim::postgres::Cluster;

#[test]
fn a_cluster_keeps_its_data_over_stop_and_kill_and_leaves_no_process() {
    // Goal: what other tests stand on. Method: a row across a restart and a kill; the process is gone after the drop.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    cluster.say("CREATE TABLE t AS SELECT 7 AS n").expect("made");
    cluster.restart().expect("restarts");
    assert_eq!(cluster.say("SELECT n FROM t").expect("read"), "7");
    cluster.say("UPDATE t SET n = 8").expect("written");
    cluster.kill().expect("killed");
    assert!(cluster.say("SELECT 1").is_err());
    cluster.start(&["-c", "work_mem=5MB"]).expect("recovers");
    assert_eq!(cluster.say("SELECT n, current_setting('work_mem') FROM t").expect("read"), "8|5MB");
    assert!(cluster.start(&[]).is_err(), "it runs already");
    let process = cluster.process().expect("runs");
    drop(cluster);
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    let mut again = Cluster::of(folder.path()).expect("there").expect("installed");
    assert!(again.start(&["-c", "no_such_setting=1"]).expect_err("refused").to_string().contains("no_such"));
    again.start(&[]).expect("starts");
    assert_eq!(again.say("SELECT n FROM t").expect("read"), "8");
}
