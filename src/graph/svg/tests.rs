use super::*;
use crate::graph::example;

/// Whether two spans have a point in common.
fn meet(one: (i32, i32), other: (i32, i32)) -> bool {
    one.0.max(other.0) < one.1.min(other.1)
}

/// The boxes of a picture that nothing may run through: what is joined is touched from outside.
fn boxes(layout: &Layout) -> Vec<(i32, i32, i32, i32)> {
    layout.cells.iter().map(|cell| (cell.x, cell.x + cell.width, cell.y, cell.y + cell.height)).collect()
}

#[test]
fn no_two_boxes_overlap_and_all_are_in_the_picture() {
    for graph in [example::pair(), example::all_states(), example::many(1), example::many(20)] {
        let layout = layout::layout(&graph);
        let boxes = boxes(&layout);
        for (number, one) in boxes.iter().enumerate() {
            assert!(one.0 >= 8 && one.1 <= layout.width - 8 && one.3 <= layout.height, "{one:?}");
            for other in &boxes[number + 1..] {
                assert!(
                    !(meet((one.0, one.1), (other.0, other.1)) && meet((one.2, one.3), (other.2, other.3)))
                );
            }
        }
    }
}

#[test]
fn no_line_runs_through_a_box() {
    for graph in [example::pair(), example::many(1), example::many(20)] {
        let layout = layout::layout(&graph);
        for line in &layout.lines {
            for part in line.points.windows(2) {
                let (x, y) = (
                    (part[0].0.min(part[1].0), part[0].0.max(part[1].0)),
                    (part[0].1.min(part[1].1), part[0].1.max(part[1].1)),
                );
                for (left, right, top, bottom) in boxes(&layout) {
                    let through = (x.0.max(left) < x.1.min(right) && top < y.0 && y.0 < bottom)
                        || (y.0.max(top) < y.1.min(bottom) && left < x.0 && x.0 < right);
                    assert!(!through, "{:?} through {left}..{right} {top}..{bottom}", line.points);
                }
            }
        }
    }
}

#[test]
fn no_label_lies_on_a_box_or_on_another_one() {
    let layout = layout::layout(&example::many(20));
    let mut taken = boxes(&layout);
    for label in &layout.labels {
        let width = layout::label_width(&label.text);
        let left = if label.anchor == "end" { label.x - width } else { label.x };
        let this = (left, left + width, label.y - 10, label.y);
        for other in &taken {
            assert!(
                !(meet((this.0, this.1), (other.0, other.1)) && meet((this.2, this.3), (other.2, other.3)))
            );
        }
        taken.push(this);
    }
}

#[test]
fn nothing_in_a_name_ends_its_text() {
    let text = svg(&example::hostile());
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;&quot;&amp;]`#"), "{text}");
    assert_eq!(escape("a\u{0}\u{1b}b"), "a\\x00\\x1bb");
}

#[test]
fn a_long_name_is_cut_and_whole_in_its_title() {
    let long = "n".repeat(200);
    let text = short(&long);
    assert!(
        text.starts_with(&"n".repeat(43)) && text.contains('…') && text.ends_with(&format!("{long}</title>"))
    );
}

#[test]
fn states_are_told_in_words_and_by_shape() {
    let text = svg(&example::all_states());
    for word in ["up", "changing", "failed", "down"] {
        assert!(
            text.contains(&format!(">{word}</text>")) && text.contains(&format!("class=\"sign {word}\""))
        );
        // The instance, the service, and the legend.
        assert_eq!(text.matches(&format!("class=\"sign {word}\"")).count(), 3, "{word}");
    }
}

#[test]
fn the_same_map_is_the_same_picture() {
    assert_eq!(svg(&example::many(20)), svg(&example::many(20)));
}

#[test]
fn a_machine_with_nothing_is_a_picture_too() {
    assert!(svg(&Map::default()).ends_with("</svg>\n"));
}
