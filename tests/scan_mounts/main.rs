//! What a scan believes of real disks: file systems of every kind in loop devices, unplugged, swapped, covered and pulled in
//! the middle; and a FUSE disk that breaks on command. Whatever happens to the disk, no file becomes missing that was not seen to be.

#[path = "../common/mod.rs"]
mod common;

mod away;
mod broken;
mod clones;
mod frozen;
mod hung;
mod kinds;
mod middle;
mod profile;
mod trouble;

use std::process::ExitCode;

use away::*;
use broken::*;
use clones::*;
use common::mounted::mounted_tests;
use frozen::*;
use hung::*;
use middle::*;
use trouble::*;

fn main() -> ExitCode {
    let tests = mounted_tests![
        an_unplugged_disk_makes_no_file_missing_and_every_question_is_answered,
        what_lies_in_the_empty_mount_point_is_not_catalogued,
        work_that_needs_no_disk_is_done_while_it_is_away,
        another_disk_in_its_place_is_not_believed,
        a_root_that_is_gone_from_its_disk_makes_nothing_missing,
        a_disk_that_is_back_at_another_place_is_found_by_its_marker,
        a_read_only_disk_is_scanned_like_any_other,
        files_deleted_on_a_mounted_disk_are_missing,
        a_catalogue_on_a_network_disk_is_refused,
        a_first_scan_that_is_disturbed_anywhere_is_made_good_by_the_next,
        a_scan_of_changes_that_is_disturbed_anywhere_calls_nothing_missing_that_is_there,
        what_is_read_from_a_disk_mounted_over_the_library_is_not_believed,
        a_disk_that_is_pulled_while_conclusions_are_written_takes_them_along,
        a_directory_that_may_not_be_listed_freezes_its_files_and_no_others,
        a_directory_of_which_only_half_is_allowed_makes_nothing_missing,
        a_directory_that_opens_again_is_no_problem_while_another_stays_closed,
        a_file_that_may_not_be_read_is_a_problem_and_is_tried_again,
        files_that_may_be_read_at_last_are_no_mass_change,
        rules_that_may_not_be_read_freeze_their_directory,
        what_could_not_be_looked_at_is_explained_and_has_its_history,
        a_disk_mounted_over_a_catalogued_directory_hides_its_files_only,
        a_directory_of_the_same_disk_mounted_over_a_catalogued_one_hides_its_files_only,
        a_disk_mounted_inside_the_library_is_not_part_of_it,
        a_directory_of_the_same_disk_mounted_inside_the_library_is_not_part_of_it,
        a_file_mounted_over_a_catalogued_one_is_not_believed,
        a_listing_that_breaks_off_freezes_what_it_did_not_get_to,
        a_listing_of_the_root_that_breaks_off_freezes_the_rest,
        rules_hold_in_a_listing_that_breaks_off_before_them,
        a_file_that_fails_to_be_read_keeps_what_was_proved,
        a_disk_that_fails_in_the_middle_makes_nothing_missing,
        a_disk_that_lists_its_names_twice_is_scanned_all_the_same,
        trouble_at_one_place_stops_nothing_elsewhere,
        trouble_with_one_file_is_a_problem_of_that_file,
        a_directory_that_turns_into_trouble_during_the_scan_is_frozen,
        what_vanishes_between_two_looks_is_not_missing_yet,
        a_look_at_a_disk_that_hangs_ends_and_nobody_joins_who_is_stuck,
        a_disk_that_hangs_is_made_no_library_of_and_lets_the_program_go,
        a_disk_that_hangs_while_text_is_read_is_left_and_nothing_is_held_against_its_files,
        a_disk_that_hangs_while_it_is_sent_is_left_and_no_operation_is_blamed,
        a_scan_that_comes_upon_what_hangs_is_left_in_time_and_concludes_nothing,
        a_disk_that_hangs_holds_up_no_other,
        a_scan_of_a_part_whose_rules_hang_is_left_in_time,
        a_scan_of_a_disk_that_is_slow_with_every_answer_goes_on,
        a_scan_on_a_disk_that_hangs_is_left_by_pressing_ctrl_c_once,
        a_copy_that_lags_behind_is_not_the_library,
        a_scan_that_finds_nothing_changed_writes_nothing,
        two_disks_that_are_alike_wait_for_a_person,
        a_disk_that_moved_is_found_beside_a_copy_that_lags_behind,
        a_scan_that_is_killed_while_it_rewrites_the_marker_harms_nothing,
        an_adopted_copy_is_told_from_the_original,
        a_backup_on_another_disk_may_stay_mounted,
        a_disk_that_two_catalogues_use_is_nobodys_copy,
        a_copy_that_a_second_catalogue_adopts_keeps_its_generation,
        a_catalogue_out_of_a_backup_knows_its_disk,
        a_read_only_disk_keeps_its_marker_and_is_no_copy_later,
    ];
    let cases = kinds::cases().into_iter().chain(profile::cases()).collect();
    common::mounted::run_with_cases(tests, cases)
}
