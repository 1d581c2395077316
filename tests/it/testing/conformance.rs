//! Strict mode against the tests of conformance: it reports nothing but what tests violate on purpose.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Tests that misbehave on purpose, with the statements that they violate.
#[rustfmt::skip]
pub const EXPECTED: &[(&str, &str)] = &[
    ("a_client_beyond_twice_the_receive_maximum_is_disconnected_with_a_reason", "MQTT-3.3.4-7"),
    ("a_connect_of_another_protocol_is_closed", "MQTT-3.1.2-1 MQTT-4.8.0-1"),
    ("a_disconnect_with_flags_is_malformed_and_publishes_the_will", "MQTT-2.1.3-1"),
    ("a_first_packet_other_than_connect_closes_silently", "MQTT-3.1.0-1 MQTT-4.8.0-1"),
    ("a_malformed_connect_gets_a_reason_and_closes", "MQTT-1.5.4-1 MQTT-1.5.4-2 MQTT-3.1.2-11 MQTT-3.1.2-12 MQTT-3.1.2-13 MQTT-3.1.2-3 MQTT-3.3.2-2 MQTT-4.13.1-1 MQTT-4.8.0-1"),
    ("a_message_of_qos_2_is_delivered_once_until_it_is_released", "MQTT-2.2.1-3 MQTT-4.4.0-1"),
    ("a_packet_identifier_of_0_is_malformed", "MQTT-2.2.1-3"),
    ("a_packet_that_is_too_large_gets_packet_too_large", "MQTT-3.2.2-15"),
    ("a_publish_of_qos_3_is_malformed", "MQTT-3.3.1-4"),
    ("a_second_connect_is_a_protocol_error", "MQTT-3.1.0-2"),
    ("a_will_is_published_after_every_end_but_a_normal_disconnect", "MQTT-2.1.3-1 MQTT-4.13.1-1"),
    ("also_a_client_of_3_1_1_gets_no_disconnect", "MQTT-3.3.2-2 MQTT-4.8.0-1"),
    ("also_a_ping_restarts_the_keep_alive", "MQTT-3.1.2-24"),
    ("also_a_subscription_identifier_of_a_publisher_is_not_passed_on", "MQTT-3.3.4-6"),
    ("also_disconnect_does_not_raise_an_expiry_interval_of_0", "MQTT-4.13.1-1"),
    ("also_invalid_filters_of_unsubscribe_close", "MQTT-4.7.1-2 MQTT-4.7.1-3"),
    ("also_packets_of_a_wrong_length_close", "MQTT-4.8.0-1"),
    ("also_qos_0_with_dup_closes", "MQTT-3.3.1-2"),
    ("also_remaining_length_of_five_bytes_closes", "MQTT-4.8.0-1"),
    ("also_unknown_acknowledgements_do_no_harm", "MQTT-4.3.2-2 MQTT-4.3.3-2"),
    ("also_version_3_1_does_not_use_some_header_bits", "MQTT-4.3.2-2"),
    ("also_version_3_1_does_not_use_some_header_bits_of_acknowledgements", "MQTT-4.3.3-2"),
    ("also_will_of_a_refused_connect_is_not_published", "MQTT-3.1.3-7"),
    ("answers_have_only_a_reason_code_for_a_client_with_a_small_limit", "MQTT-4.13.1-1 MQTT-4.3.3-8"),
    ("auth_without_a_method_is_a_protocol_error", "MQTT-2.1.3-1 MQTT-4.12.0-7 MQTT-4.13.1-1"),
    ("each_malformed_packet_gets_a_reason_and_closes_only_its_connection", "MQTT-1.5.4-1 MQTT-1.5.4-2 MQTT-1.5.5-1 MQTT-2.1.3-1 MQTT-2.2.1-3 MQTT-3.1.2-3 MQTT-3.10.3-2 MQTT-3.3.1-2 MQTT-3.3.2-2 MQTT-3.3.4-6 MQTT-3.8.3-2 MQTT-3.8.3-4 MQTT-3.8.3-5 MQTT-4.13.1-1 MQTT-4.7.3-2"),
    ("identifiers_that_are_not_known_are_answered_with_0x92", "MQTT-4.3.2-4 MQTT-4.3.3-8"),
    ("ill_formed_filters_are_malformed", "MQTT-1.5.4-1"),
    ("ill_formed_text_is_not_passed_on", "MQTT-1.5.4-1 MQTT-1.5.4-2 MQTT-4.7.3-2"),
    ("malformed_shared_filters_are_refused_with_0x8f", "MQTT-4.7.1-1 MQTT-4.7.1-2"),
    ("mqtt_1_5_3_1_ill_formed_text_closes", "MQTT-1.5.3-1"),
    ("mqtt_1_5_3_1_ill_formed_text_in_connect_closes", "MQTT-1.5.3-1"),
    ("mqtt_1_5_3_2_null_closes", "MQTT-4.7.3-2"),
    ("mqtt_1_5_3_2_null_in_connect_closes", "MQTT-1.5.3-2 MQTT-4.7.3-2"),
    ("mqtt_2_2_2_2_invalid_flags_close", "MQTT-2.2.2-2"),
    ("mqtt_2_2_2_2_invalid_flags_of_connect_close", "MQTT-2.2.2-2"),
    ("mqtt_2_3_1_1_packet_identifier_zero_closes", "MQTT-2.3.1-1"),
    ("mqtt_3_10_1_1_unsubscribe_with_other_flags_closes", "MQTT-2.2.2-2"),
    ("mqtt_3_10_3_1_filter_that_is_not_utf8_or_not_whole_closes", "MQTT-1.5.3-1 MQTT-4.8.0-1"),
    ("mqtt_3_10_3_2_unsubscribe_without_filters_closes", "MQTT-3.10.3-2"),
    ("mqtt_3_14_1_1_disconnect_with_flags_is_malformed", "MQTT-2.2.2-2"),
    ("mqtt_3_1_0_1_first_packet_other_than_connect_closes", "MQTT-3.1.0-1"),
    ("mqtt_3_1_0_2_second_connect_behind_a_publish_to_its_name_closes", "MQTT-3.1.0-2"),
    ("mqtt_3_1_0_2_second_connect_closes", "MQTT-3.1.0-2"),
    ("mqtt_3_1_0_2_second_connect_publishes_the_will", "MQTT-3.1.0-2"),
    ("mqtt_3_1_2_10_will_is_removed_after_disconnect", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_10_will_is_removed_once_published", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_11_will_fields_without_will_flag_close", "MQTT-3.1.2-14 MQTT-4.8.0-1"),
    ("mqtt_3_1_2_12_without_will_flag_nothing_is_published", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_13_will_qos_without_will_flag_closes", "MQTT-3.1.2-13 MQTT-3.1.2-14"),
    ("mqtt_3_1_2_14_will_qos_3_closes", "MQTT-3.1.2-14"),
    ("mqtt_3_1_2_15_will_retain_without_will_flag_closes", "MQTT-3.1.2-15"),
    ("mqtt_3_1_2_18_user_name_without_its_flag_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_19_user_name_flag_without_user_name_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_1_wrong_protocol_name_is_not_served", "MQTT-3.1.2-1"),
    ("mqtt_3_1_2_20_password_without_its_flag_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_21_password_flag_without_password_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_22_password_flag_without_user_name_flag_closes", "MQTT-3.1.2-22"),
    ("mqtt_3_1_2_24_silence_of_one_and_a_half_keep_alives_closes", "MQTT-3.1.2-24"),
    ("mqtt_3_1_2_3_reserved_connect_flag_closes", "MQTT-3.1.2-3"),
    ("mqtt_3_1_2_8_will_is_published_after_a_violation", "MQTT-4.8.0-1"),
    ("mqtt_3_1_2_9_will_flag_without_will_fields_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_1_3_10_will_topic_that_is_not_utf8_closes", "MQTT-1.5.3-1"),
    ("mqtt_3_1_3_11_user_name_that_is_not_utf8_closes", "MQTT-1.5.3-1"),
    ("mqtt_3_1_3_3_missing_client_identifier_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_1_3_4_client_identifier_that_is_not_utf8_closes", "MQTT-1.5.3-1"),
    ("mqtt_3_1_3_8_empty_id_with_clean_session_0_is_rejected", "MQTT-3.1.3-7"),
    ("mqtt_3_1_4_1_malformed_connect_closes_without_connack", "MQTT-4.8.0-1"),
    ("mqtt_3_1_4_5_nothing_after_a_rejected_connect_is_processed", "MQTT-3.1.3-7"),
    ("mqtt_3_2_2_5_refusal_is_followed_by_a_close", "MQTT-3.1.3-7"),
    ("mqtt_3_2_2_6_without_a_fitting_code_the_connection_closes_silently", "MQTT-3.1.2-14"),
    ("mqtt_3_3_1_4_qos_3_closes", "MQTT-3.3.1-4"),
    ("mqtt_3_3_2_1_missing_topic_name_closes", "MQTT-4.8.0-1"),
    ("mqtt_3_3_2_1_topic_name_that_is_not_utf8_closes", "MQTT-1.5.3-1"),
    ("mqtt_3_3_2_2_topic_name_with_wildcards_closes", "MQTT-3.3.2-2"),
    ("mqtt_3_6_1_1_pubrel_with_other_flags_closes", "MQTT-2.2.2-2"),
    ("mqtt_3_8_1_1_subscribe_with_other_flags_closes", "MQTT-2.2.2-2"),
    ("mqtt_3_8_3_1_filter_that_is_not_utf8_closes", "MQTT-1.5.3-1"),
    ("mqtt_3_8_3_3_subscribe_without_filters_closes", "MQTT-3.8.3-3"),
    ("mqtt_3_8_3_4_reserved_bits_and_qos_3_close", "MQTT-3-8.3-4"),
    ("mqtt_4_1_0_1_session_state_is_kept_for_the_whole_session", "MQTT-4.8.0-1"),
    ("mqtt_4_3_3_1_pubrec_is_answered_with_pubrel", "MQTT-4.3.3-2"),
    ("mqtt_4_3_3_2_repeated_publish_without_dup_is_delivered_once", "MQTT-2.3.1-2"),
    ("mqtt_4_7_1_1_wildcards_are_for_filters_alone", "MQTT-3.3.2-2"),
    ("mqtt_4_7_1_1_will_topic_with_wildcards_is_not_accepted", "MQTT-3.3.2-2"),
    ("mqtt_4_7_1_2_multi_level_wildcard_elsewhere_than_last_and_alone_closes", "MQTT-4.7.1-2"),
    ("mqtt_4_7_1_3_single_level_wildcard_with_company_closes", "MQTT-4.7.1-3"),
    ("mqtt_4_7_3_1_empty_topics_and_filters_close", "MQTT-4.7.3-1"),
    ("mqtt_4_7_3_2_null_in_topics_and_filters_closes", "MQTT-4.7.3-2"),
    ("mqtt_4_8_0_1_other_clients_are_not_affected", "MQTT-4.8.0-1"),
    ("mqtt_4_8_0_1_packets_that_only_servers_send_close", "MQTT-4.8.0-1"),
    ("mqtt_4_8_0_1_reserved_packet_types_close", "MQTT-4.8.0-1"),
    ("no_local_for_a_group_is_a_protocol_error", "MQTT-3.8.3-4"),
    ("no_topic_alias_is_sent_to_a_client_without_them", "MQTT-3.3.2-9"),
    ("packets_with_wrong_flags_or_filters_are_malformed", "MQTT-2.1.3-1 MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.7.3-1 MQTT-4.7.3-2"),
    ("topic_aliases_of_a_client_are_valid_until_its_connection_ends", "MQTT-3.3.2-9 MQTT-4.13.1-1"),
    ("topics_with_wildcards_are_refused", "MQTT-3.3.2-2"),
];

#[test]
fn strict_mode_reports_only_what_a_test_violates_on_purpose() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("violations");
    let mut command = itself();
    command.args(["conformance::", "--test-threads=8", "--skip", "testing::"]).env("DUNLIN_CONFORMANCE_STRICT", &file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let lines = std::fs::read_to_string(&file).unwrap();
    let mut found = BTreeMap::<&str, BTreeSet<&str>>::new();
    for line in lines.lines() {
        let (test, statement) = line.split_once('\t').unwrap();
        found.entry(test).or_default().insert(statement.split_once('\t').unwrap().0);
    }
    let expected: BTreeMap<_, BTreeSet<_>> =
        EXPECTED.iter().map(|(test, statements)| (*test, statements.split(' ').collect())).collect();
    assert_eq!(found, expected, "{lines}");
}

/// This binary, started by the emulator that started it, if there is one: the kernel cannot run it.
fn itself() -> Command {
    let binary = std::env::current_exe().unwrap();
    let Some(emulator) = std::env::var_os("DUNLIN_EMULATOR") else { return Command::new(binary) };
    let mut command = Command::new(emulator);
    command.arg(binary);
    command
}
