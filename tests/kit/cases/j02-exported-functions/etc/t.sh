greet file
configure_t_up_outside() { greet hook; bash -c 'greet child'; assert_non_empty NSNAME; }
