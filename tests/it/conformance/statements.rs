//! Every normative statement of MQTT 3.1.1 (OASIS standard, 29 October 2014, appendix B), rephrased, with its tests or
//! the reason why there is none.
//!
//! The standard writes some numbers in other forms (`[MQTT-3-8.3-4]`, and with a dot for the last hyphen
//! `[MQTT-3.1.2.7]`, `[MQTT-4.3.2.1]`, `[MQTT-6.0.0.1]`); the latter have hyphens here.

/// One statement.
pub struct Statement {
    pub id: &'static str,
    pub says: &'static str,
    pub coverage: Coverage,
}

/// What holds the broker to a statement.
pub enum Coverage {
    /// Test functions, by name.
    Tests(&'static [&'static str]),
    /// Why no test of a server can.
    Untested(&'static str),
}

impl Statement {
    pub fn tests(&self) -> &'static [&'static str] {
        match self.coverage {
            Coverage::Tests(tests) => tests,
            Coverage::Untested(_) => &[],
        }
    }

    /// How the names of its tests begin: `mqtt_3_1_0_2_`.
    pub fn prefix(&self) -> String {
        format!("{}_", self.id.to_lowercase().replace(['-', '.'], "_"))
    }
}

macro_rules! statements {
    ($($id:literal $says:literal $(=> $($test:ident)+)? $(-- $reason:literal)?;)+) => {
        pub const STATEMENTS: &[Statement] = &[$(Statement {
            id: $id,
            says: $says,
            coverage: statements!(@ $($($test)+)? $(-- $reason)?),
        }),+];
    };
    (@ $($test:ident)+) => { Coverage::Tests(&[$(stringify!($test)),+]) };
    (@ -- $reason:literal) => { Coverage::Untested($reason) };
}

statements! {
    "MQTT-1.5.3-1" "text that is not well-formed UTF-8 closes the connection"
        => mqtt_1_5_3_1_ill_formed_text_closes mqtt_1_5_3_1_ill_formed_text_in_connect_closes;
    "MQTT-1.5.3-2" "text with U+0000 closes the connection"
        => mqtt_1_5_3_2_null_closes mqtt_1_5_3_2_null_in_connect_closes;
    "MQTT-1.5.3-3" "EF BB BF is U+FEFF wherever it stands, and is kept"
        => mqtt_1_5_3_3_byte_order_mark_is_kept;

    "MQTT-2.2.2-1" "reserved flag bits have the values of table 2.2"
        => mqtt_2_2_2_1_reserved_flags_of_sent_packets_are_as_listed;
    "MQTT-2.2.2-2" "invalid flags close the connection"
        => mqtt_2_2_2_2_invalid_flags_close mqtt_2_2_2_2_invalid_flags_of_connect_close;
    "MQTT-2.3.1-1" "SUBSCRIBE, UNSUBSCRIBE, PUBLISH above QoS 0 carry an identifier other than 0"
        => mqtt_2_3_1_1_packet_identifier_zero_closes mqtt_2_3_1_1_sent_packet_identifiers_are_not_zero;
    "MQTT-2.3.1-2" "a client gives each new packet an unused identifier"
        -- "binds the client; the server's part is 2.3.1-4";
    "MQTT-2.3.1-3" "a client re-sends with the same identifier, which is free once acknowledged"
        -- "binds the client; the server's part is 2.3.1-4";
    "MQTT-2.3.1-4" "the same holds for a server's PUBLISH above QoS 0"
        => mqtt_2_3_1_4_sent_packet_identifiers_are_unused_until_acknowledged
           mqtt_2_3_1_4_packet_identifiers_do_not_run_out;
    "MQTT-2.3.1-5" "a QoS 0 PUBLISH has no identifier"
        => mqtt_2_3_1_5_qos_0_has_no_packet_identifier;
    "MQTT-2.3.1-6" "PUBACK, PUBREC, PUBREL carry the identifier of their PUBLISH"
        => mqtt_2_3_1_6_acknowledgements_carry_the_identifier_of_the_publish
           mqtt_2_3_1_6_pubrel_carries_the_identifier_of_the_publish;
    "MQTT-2.3.1-7" "SUBACK and UNSUBACK carry the identifier of their request"
        => mqtt_2_3_1_7_suback_and_unsuback_carry_the_identifier_of_the_request;

    "MQTT-3.1.0-1" "the first packet of a client is CONNECT"
        => mqtt_3_1_0_1_first_packet_other_than_connect_closes;
    "MQTT-3.1.0-2" "a second CONNECT is a violation that disconnects"
        => mqtt_3_1_0_2_second_connect_closes mqtt_3_1_0_2_second_connect_behind_a_publish_to_its_name_closes
            mqtt_3_1_0_2_second_connect_publishes_the_will;
    "MQTT-3.1.2-1" "a wrong protocol name is not served by this specification"
        => mqtt_3_1_2_1_wrong_protocol_name_is_not_served;
    "MQTT-3.1.2-2" "an unsupported level gets CONNACK 1, then the close"
        => mqtt_3_1_2_2_unknown_protocol_level_gets_connack_1;
    "MQTT-3.1.2-3" "a set reserved connect flag disconnects"
        => mqtt_3_1_2_3_reserved_connect_flag_closes;
    "MQTT-3.1.2-4" "clean session 0 resumes the stored session, or creates one that is stored"
        => mqtt_3_1_2_4_clean_session_0_resumes_the_session mqtt_3_1_2_4_clean_session_0_creates_a_session;
    "MQTT-3.1.2-5" "QoS 1 and 2 messages are stored for a session that is away"
        => mqtt_3_1_2_5_messages_are_stored_while_away;
    "MQTT-3.1.2-6" "clean session 1 discards the session; the new one ends with the connection"
        => mqtt_3_1_2_6_clean_session_1_discards_the_session
           mqtt_3_1_2_6_clean_session_lasts_as_long_as_its_connection;
    "MQTT-3.1.2-7" "retained messages are no session state and outlive it"
        => mqtt_3_1_2_7_retained_messages_outlive_the_session;
    "MQTT-3.1.2-8" "the will is stored and published at the close, unless DISCONNECT came"
        => mqtt_3_1_2_8_will_is_published_when_the_connection_closes mqtt_3_1_2_8_will_is_published_after_a_violation
           mqtt_3_1_2_8_will_reaches_sessions_that_are_away;
    "MQTT-3.1.2-9" "with the will flag, QoS, retain, topic and message are there and used"
        => mqtt_3_1_2_9_will_flag_without_will_fields_closes mqtt_3_1_2_9_empty_will_message_is_published
           mqtt_3_1_2_9_will_qos_retain_topic_and_message_are_used;
    "MQTT-3.1.2-10" "the will is removed once published or after DISCONNECT"
        => mqtt_3_1_2_10_will_is_removed_once_published mqtt_3_1_2_10_will_is_removed_after_disconnect;
    "MQTT-3.1.2-11" "without the will flag there is no other will flag and no will field"
        => mqtt_3_1_2_11_will_fields_without_will_flag_close;
    "MQTT-3.1.2-12" "without the will flag no will is published"
        => mqtt_3_1_2_12_without_will_flag_nothing_is_published;
    "MQTT-3.1.2-13" "without the will flag the will QoS is 0"
        => mqtt_3_1_2_13_will_qos_without_will_flag_closes;
    "MQTT-3.1.2-14" "the will QoS is 0, 1 or 2, never 3"
        => mqtt_3_1_2_14_will_qos_3_closes mqtt_3_1_2_14_will_qos_0_1_and_2_are_accepted;
    "MQTT-3.1.2-15" "without the will flag will retain is 0"
        => mqtt_3_1_2_15_will_retain_without_will_flag_closes;
    "MQTT-3.1.2-16" "a will without retain is published as not retained"
        => mqtt_3_1_2_16_will_without_retain_is_not_retained;
    "MQTT-3.1.2-17" "a will with retain is published as retained"
        => mqtt_3_1_2_17_will_with_retain_is_retained;
    "MQTT-3.1.2-18" "without its flag there is no user name"
        => mqtt_3_1_2_18_user_name_without_its_flag_closes;
    "MQTT-3.1.2-19" "with its flag there is a user name"
        => mqtt_3_1_2_19_user_name_flag_without_user_name_closes;
    "MQTT-3.1.2-20" "without its flag there is no password"
        => mqtt_3_1_2_20_password_without_its_flag_closes;
    "MQTT-3.1.2-21" "with its flag there is a password"
        => mqtt_3_1_2_21_password_flag_without_password_closes;
    "MQTT-3.1.2-22" "without the user name flag there is no password flag"
        => mqtt_3_1_2_22_password_flag_without_user_name_flag_closes;
    "MQTT-3.1.2-23" "a client sends something within each keep alive, PINGREQ at least"
        -- "binds the client; the server's part is 3.1.2-24";
    "MQTT-3.1.2-24" "one and a half keep alives of silence disconnect, as if the network had failed"
        => mqtt_3_1_2_24_silence_of_one_and_a_half_keep_alives_closes;
    "MQTT-3.1.3-1" "payload order: client id, will topic, will message, user name, password"
        => mqtt_3_1_3_1_payload_fields_are_read_in_their_order;
    "MQTT-3.1.3-2" "both sides identify session state by the client id"
        => mqtt_3_1_3_2_client_identifier_identifies_the_session;
    "MQTT-3.1.3-3" "the client id is present and first"
        => mqtt_3_1_3_3_missing_client_identifier_closes;
    "MQTT-3.1.3-4" "the client id is UTF-8"
        => mqtt_3_1_3_4_client_identifier_that_is_not_utf8_closes;
    "MQTT-3.1.3-5" "ids of 1 to 23 letters and digits are allowed"
        => mqtt_3_1_3_5_ids_of_1_to_23_letters_and_digits_are_allowed;
    "MQTT-3.1.3-6" "an empty id, where allowed, stands for a unique one"
        => mqtt_3_1_3_6_empty_id_gets_a_unique_id;
    "MQTT-3.1.3-7" "a client with an empty id sets clean session"
        -- "binds the client; the server's part is 3.1.3-8";
    "MQTT-3.1.3-8" "an empty id with clean session 0 gets CONNACK 2, then the close"
        => mqtt_3_1_3_8_empty_id_with_clean_session_0_is_rejected;
    "MQTT-3.1.3-9" "a rejected id gets CONNACK 2, then the close"
        => mqtt_3_1_3_9_rejected_client_identifier_gets_connack_2
           mqtt_3_1_3_8_empty_id_with_clean_session_0_is_rejected;
    "MQTT-3.1.3-10" "the will topic is UTF-8"
        => mqtt_3_1_3_10_will_topic_that_is_not_utf8_closes;
    "MQTT-3.1.3-11" "the user name is UTF-8"
        => mqtt_3_1_3_11_user_name_that_is_not_utf8_closes;
    "MQTT-3.1.4-1" "a CONNECT that breaks section 3.1 is closed without CONNACK"
        => mqtt_3_1_4_1_malformed_connect_closes_without_connack;
    "MQTT-3.1.4-2" "a connected client with the same id is disconnected"
        => mqtt_3_1_4_2_same_client_id_closes_the_existing_client;
    "MQTT-3.1.4-3" "clean session is processed as section 3.1.2.4 says"
        => mqtt_3_1_4_3_clean_session_is_processed;
    "MQTT-3.1.4-4" "a valid CONNECT gets CONNACK 0"
        => mqtt_3_1_4_4_valid_connect_gets_connack_0;
    "MQTT-3.1.4-5" "nothing after a rejected CONNECT is processed"
        => mqtt_3_1_4_5_nothing_after_a_rejected_connect_is_processed;

    "MQTT-3.2.0-1" "the first packet of a server is CONNACK"
        => mqtt_3_2_0_1_first_packet_is_connack;
    "MQTT-3.2.2-1" "clean session 1: session present 0 with code 0"
        => mqtt_3_2_2_1_clean_session_has_no_session_present;
    "MQTT-3.2.2-2" "clean session 0 and a stored session: session present 1"
        => mqtt_3_2_2_2_stored_session_is_present;
    "MQTT-3.2.2-3" "no stored session: session present 0 with code 0"
        => mqtt_3_2_2_3_no_stored_session_is_not_present mqtt_3_2_2_3_taken_over_clean_session_is_not_present;
    "MQTT-3.2.2-4" "a code other than 0 goes with session present 0"
        => mqtt_3_2_2_4_refusal_has_no_session_present;
    "MQTT-3.2.2-5" "a code other than 0 is followed by the close"
        => mqtt_3_2_2_5_refusal_is_followed_by_a_close;
    "MQTT-3.2.2-6" "where no code applies the close comes without CONNACK"
        => mqtt_3_2_2_6_without_a_fitting_code_the_connection_closes_silently;

    "MQTT-3.3.1-1" "DUP is 1 on a PUBLISH that is re-delivered"
        => mqtt_3_3_1_1_resent_publish_has_dup_1;
    "MQTT-3.3.1-2" "DUP is 0 at QoS 0"
        => mqtt_3_3_1_2_qos_0_is_sent_with_dup_0;
    "MQTT-3.3.1-3" "DUP is not passed on to subscribers"
        => mqtt_3_3_1_3_dup_is_not_passed_on;
    "MQTT-3.3.1-4" "a PUBLISH with QoS 3 closes"
        => mqtt_3_3_1_4_qos_3_closes;
    "MQTT-3.3.1-5" "a retained message is stored with its QoS for future subscribers"
        => mqtt_3_3_1_5_retained_message_is_stored_with_its_qos;
    "MQTT-3.3.1-6" "a new subscription gets the last retained message of each matching topic"
        => mqtt_3_3_1_6_new_subscription_gets_the_last_retained_message_of_each_topic;
    "MQTT-3.3.1-7" "a retained QoS 0 message discards the one before"
        => mqtt_3_3_1_7_retained_qos_0_replaces_the_previous_message;
    "MQTT-3.3.1-8" "RETAIN is 1 on what a new subscription brings"
        => mqtt_3_3_1_8_retain_is_1_for_a_new_subscription;
    "MQTT-3.3.1-9" "RETAIN is 0 on what an established subscription brings"
        => mqtt_3_3_1_9_retain_is_0_for_an_existing_subscription
           mqtt_3_3_1_9_retain_is_0_for_an_existing_subscription_while_away;
    "MQTT-3.3.1-10" "an empty retained message is delivered, and removes the stored one"
        => mqtt_3_3_1_10_empty_retained_message_clears_and_is_delivered;
    "MQTT-3.3.1-11" "an empty message is not stored as retained"
        => mqtt_3_3_1_11_empty_message_is_not_retained;
    "MQTT-3.3.1-12" "RETAIN 0 stores nothing and replaces nothing"
        => mqtt_3_3_1_12_message_without_retain_is_not_stored_and_replaces_nothing;
    "MQTT-3.3.2-1" "the topic name comes first in PUBLISH and is UTF-8"
        => mqtt_3_3_2_1_topic_name_that_is_not_utf8_closes mqtt_3_3_2_1_missing_topic_name_closes;
    "MQTT-3.3.2-2" "the topic name of a PUBLISH has no wildcards"
        => mqtt_3_3_2_2_topic_name_with_wildcards_closes;
    "MQTT-3.3.2-3" "a delivered topic name matches the subscriber's filter"
        => mqtt_3_3_2_3_delivered_topic_matches_the_filter;
    "MQTT-3.3.4-1" "a PUBLISH is answered as its QoS demands"
        => mqtt_3_3_4_1_response_is_that_of_the_qos;
    "MQTT-3.3.5-1" "overlapping subscriptions deliver at their maximum QoS"
        => mqtt_3_3_5_1_overlapping_filters_deliver_at_their_highest_qos;
    "MQTT-3.3.5-2" "an unauthorized PUBLISH is acknowledged as ever, or the connection closed"
        => mqtt_3_3_5_2_refused_publish_is_acknowledged_or_closed;

    "MQTT-3.6.1-1" "PUBREL has flags 0010; others close"
        => mqtt_3_6_1_1_pubrel_with_other_flags_closes;

    "MQTT-3.8.1-1" "SUBSCRIBE has flags 0010; others close"
        => mqtt_3_8_1_1_subscribe_with_other_flags_closes;
    "MQTT-3.8.3-1" "the filters of SUBSCRIBE are UTF-8"
        => mqtt_3_8_3_1_filter_that_is_not_utf8_closes;
    "MQTT-3.8.3-2" "a server without wildcards rejects filters that have them"
        => mqtt_3_8_3_2_filters_with_wildcards_are_granted;
    "MQTT-3.8.3-3" "SUBSCRIBE has at least one filter with its QoS"
        => mqtt_3_8_3_3_subscribe_without_filters_closes;
    "MQTT-3-8.3-4" "reserved bits or QoS 3 in the payload of SUBSCRIBE close"
        => mqtt_3_8_3_4_reserved_bits_and_qos_3_close;
    "MQTT-3.8.4-1" "SUBSCRIBE gets SUBACK"
        => mqtt_3_8_4_1_subscribe_gets_suback;
    "MQTT-3.8.4-2" "SUBACK has the identifier of SUBSCRIBE"
        => mqtt_3_8_4_2_suback_has_the_id_of_subscribe;
    "MQTT-3.8.4-3" "an identical filter replaces, re-sends retained messages, interrupts nothing"
        => mqtt_3_8_4_3_identical_filter_replaces mqtt_3_8_4_3_identical_filter_gets_retained_again
           mqtt_3_8_4_3_flow_is_not_interrupted_while_a_filter_is_replaced;
    "MQTT-3.8.4-4" "several filters are as several SUBSCRIBEs, but with one SUBACK"
        => mqtt_3_8_4_4_several_filters_are_handled_as_several_subscribes;
    "MQTT-3.8.4-5" "SUBACK has a code for each filter: QoS granted, or failure"
        => mqtt_3_8_4_5_suback_has_a_code_for_each_filter;
    "MQTT-3.8.4-6" "messages arrive at the lesser of QoS published and granted"
        => mqtt_3_8_4_6_delivered_qos_is_the_lesser_of_published_and_granted;
    "MQTT-3.9.3-1" "SUBACK's codes are in the order of the filters"
        => mqtt_3_9_3_1_codes_are_in_the_order_of_the_filters;
    "MQTT-3.9.3-2" "SUBACK's codes are 0, 1, 2 and 0x80 alone"
        => mqtt_3_9_3_2_no_other_codes_are_used;

    "MQTT-3.10.1-1" "UNSUBSCRIBE has flags 0010; others close"
        => mqtt_3_10_1_1_unsubscribe_with_other_flags_closes;
    "MQTT-3.10.3-1" "the filters of UNSUBSCRIBE are UTF-8, packed contiguously"
        => mqtt_3_10_3_1_filter_that_is_not_utf8_or_not_whole_closes;
    "MQTT-3.10.3-2" "UNSUBSCRIBE has at least one filter"
        => mqtt_3_10_3_2_unsubscribe_without_filters_closes;
    "MQTT-3.10.4-1" "filters are compared byte for byte; an exact match is deleted"
        => mqtt_3_10_4_1_filters_are_compared_byte_for_byte;
    "MQTT-3.10.4-2" "a deleted subscription brings no new messages"
        => mqtt_3_10_4_2_no_new_messages_after_unsubscribe;
    "MQTT-3.10.4-3" "deliveries of QoS 1 and 2 that were started are completed"
        => mqtt_3_10_4_3_started_deliveries_are_completed;
    "MQTT-3.10.4-4" "UNSUBSCRIBE gets UNSUBACK with its identifier"
        => mqtt_3_10_4_4_unsuback_has_the_id_of_unsubscribe;
    "MQTT-3.10.4-5" "UNSUBACK comes even where nothing was deleted"
        => mqtt_3_10_4_5_unknown_filter_gets_unsuback;
    "MQTT-3.10.4-6" "several filters are as several UNSUBSCRIBEs, but with one UNSUBACK"
        => mqtt_3_10_4_6_several_filters_get_one_unsuback;

    "MQTT-3.12.4-1" "PINGREQ gets PINGRESP"
        => mqtt_3_12_4_1_pingreq_gets_pingresp;
    "MQTT-3.14.1-1" "reserved bits of DISCONNECT are validated; others than 0 disconnect"
        => mqtt_3_14_1_1_disconnect_with_flags_is_malformed;
    "MQTT-3.14.4-1" "a client closes after DISCONNECT"
        -- "binds the client; that the server closes too is tested beyond the ids";
    "MQTT-3.14.4-2" "a client sends nothing after DISCONNECT"
        -- "binds the client";
    "MQTT-3.14.4-3" "DISCONNECT discards the will unpublished"
        => mqtt_3_14_4_3_disconnect_discards_the_will;

    "MQTT-4.1.0-1" "session state is stored for the whole session"
        => mqtt_4_1_0_1_session_state_is_kept_for_the_whole_session;
    "MQTT-4.1.0-2" "a session lasts at least as long as its connection"
        => mqtt_4_1_0_2_session_lasts_as_long_as_its_connection;
    "MQTT-4.3.1-1" "QoS 0 is sent with QoS 0 and DUP 0"
        => mqtt_4_3_1_1_qos_0_is_sent_with_qos_0_and_dup_0;
    "MQTT-4.3.2-1" "QoS 1 sender: unused identifier, DUP 0, unacknowledged until PUBACK"
        => mqtt_4_3_2_1_qos_1_is_sent_with_an_unused_id_and_dup_0 mqtt_4_3_2_1_qos_1_is_unacknowledged_until_puback;
    "MQTT-4.3.2-2" "QoS 1 receiver: PUBACK with the identifier, which is new afterwards"
        => mqtt_4_3_2_2_qos_1_is_answered_with_its_id mqtt_4_3_2_2_acknowledged_id_is_a_new_publication;
    "MQTT-4.3.3-1" "QoS 2 sender: unused identifier, DUP 0, PUBREL upon PUBREC, PUBLISH never after"
        => mqtt_4_3_3_1_qos_2_is_sent_with_an_unused_id_and_dup_0 mqtt_4_3_3_1_pubrec_is_answered_with_pubrel
           mqtt_4_3_3_1_publish_is_unacknowledged_until_pubrec mqtt_4_3_3_1_pubrel_is_unacknowledged_until_pubcomp;
    "MQTT-4.3.3-2" "QoS 2 receiver: PUBREC, no duplicates until PUBREL, PUBCOMP, then new"
        => mqtt_4_3_3_2_qos_2_is_answered_with_its_id mqtt_4_3_3_2_repeated_publish_is_delivered_once
           mqtt_4_3_3_2_repeated_publish_without_dup_is_delivered_once
           mqtt_4_3_3_2_repeated_publish_on_a_new_connection_is_delivered_once
           mqtt_4_3_3_2_pubrel_is_always_answered_with_pubcomp mqtt_4_3_3_2_pubrel_on_a_new_connection_is_answered
           mqtt_4_3_3_2_completed_id_is_a_new_publication;
    "MQTT-4.4.0-1" "a returning session gets unacknowledged PUBLISH and PUBREL again, same identifiers"
        => mqtt_4_4_0_1_unacknowledged_publish_is_resent_with_its_id
           mqtt_4_4_0_1_unacknowledged_pubrel_is_resent_with_its_id mqtt_4_4_0_1_publish_and_pubrel_are_both_resent;
    "MQTT-4.5.0-1" "a message that is taken goes into every session with a matching subscription"
        => mqtt_4_5_0_1_message_is_added_to_every_matching_session;
    "MQTT-4.5.0-2" "a client acknowledges whatever it receives"
        -- "binds the client";
    "MQTT-4.6.0-1" "messages are re-sent in the order in which they were sent"
        => mqtt_4_6_0_1_resent_messages_keep_their_order;
    "MQTT-4.6.0-2" "PUBACKs have the order of the PUBLISHes"
        => mqtt_4_6_0_2_pubacks_keep_the_order_of_the_messages;
    "MQTT-4.6.0-3" "PUBRECs have the order of the PUBLISHes"
        => mqtt_4_6_0_3_pubrecs_keep_the_order_of_the_messages;
    "MQTT-4.6.0-4" "PUBRELs have the order of the PUBRECs"
        => mqtt_4_6_0_4_pubrels_keep_the_order_of_the_pubrecs;
    "MQTT-4.6.0-5" "every topic is ordered by default"
        => mqtt_4_6_0_5_every_topic_is_ordered;
    "MQTT-4.6.0-6" "a subscriber gets one client's messages of a topic and QoS in order"
        => mqtt_4_6_0_6_each_qos_arrives_in_order mqtt_4_6_0_6_queued_messages_arrive_in_order;
    "MQTT-4.7.1-1" "wildcards are for filters, not for topic names"
        => mqtt_4_7_1_1_wildcards_are_for_filters_alone mqtt_4_7_1_1_will_topic_with_wildcards_is_not_accepted;
    "MQTT-4.7.1-2" "# stands alone in the last level"
        => mqtt_4_7_1_2_multi_level_wildcard_elsewhere_than_last_and_alone_closes
           mqtt_4_7_1_2_multi_level_wildcard_matches_any_number_of_levels;
    "MQTT-4.7.1-3" "+ stands alone in any level"
        => mqtt_4_7_1_3_single_level_wildcard_with_company_closes
           mqtt_4_7_1_3_single_level_wildcard_matches_one_level;
    "MQTT-4.7.2-1" "a leading wildcard does not match a topic that begins with $"
        => mqtt_4_7_2_1_leading_wildcards_do_not_match_dollar_topics
           mqtt_4_7_2_1_leading_wildcards_do_not_match_retained_dollar_topics;
    "MQTT-4.7.3-1" "topics and filters have at least one character"
        => mqtt_4_7_3_1_empty_topics_and_filters_close mqtt_4_7_3_1_topics_of_one_character_are_valid;
    "MQTT-4.7.3-2" "topics and filters have no U+0000"
        => mqtt_4_7_3_2_null_in_topics_and_filters_closes;
    "MQTT-4.7.3-3" "topics and filters have at most 65,535 bytes"
        => mqtt_4_7_3_3_longest_topic_is_served;
    "MQTT-4.7.3-4" "topics and filters are matched as they are, without normalization"
        => mqtt_4_7_3_4_topics_are_not_normalized;
    "MQTT-4.8.0-1" "a protocol violation closes the connection that it came on"
        => mqtt_4_8_0_1_packets_that_only_servers_send_close mqtt_4_8_0_1_reserved_packet_types_close
           mqtt_4_8_0_1_other_clients_are_not_affected;
    "MQTT-4.8.0-2" "a transient error while processing a packet closes its connection"
        -- "no transient error can be provoked from outside";

    "MQTT-6.0.0-1" "packets travel in binary WebSocket frames; others close"
        -- "there is no WebSocket listener yet";
    "MQTT-6.0.0-2" "WebSocket frames may hold several packets, or parts of them"
        -- "there is no WebSocket listener yet";
    "MQTT-6.0.0-3" "a client offers the subprotocol mqtt"
        -- "binds the client";
    "MQTT-6.0.0-4" "the server selects the subprotocol mqtt"
        -- "there is no WebSocket listener yet";
    "MQTT-7.0.0-1" "a server that connects to servers conforms as a client too"
        -- "dunlin makes no outbound MQTT connections";
    "MQTT-7.0.0-2" "no extension is required of the other side"
        => mqtt_7_0_0_2_bare_client_is_served;
    "MQTT-7.1.1-1" "a server supports an ordered, lossless transport in both directions"
        => mqtt_7_1_1_1_tcp_carries_every_packet_in_order;
    "MQTT-7.1.2-1" "a client supports an ordered, lossless transport in both directions"
        -- "binds the client";
}
