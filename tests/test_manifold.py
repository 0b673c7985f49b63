"""Projections of codes, the method's claims and properties of images, where the answer is known beforehand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from cae_jax.manifold import (
    PROPERTIES,
    CodeSpace,
    coherency,
    intrinsic_dimension,
    measure_properties,
    path_roughness,
    pervasiveness,
    principal_components,
    rank_correlations,
    smoothness,
    tsne,
)


def make_codes(count=60, size=5, seed=0):
    """Codes that vary differently along each of `size` oblique directions, away from 0."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, size)) * np.arange(1, size + 1) @ rng.normal(size=(size, size)) + 7.0


def test_principal_components_are_eigenvectors_of_the_covariance():
    codes = make_codes()
    found = principal_components(codes)
    variances, vectors = np.linalg.eigh(np.cov(codes.T))
    np.testing.assert_allclose(found.mean, codes.mean(0))
    np.testing.assert_allclose(np.square(found.deviations), variances[::-1])
    np.testing.assert_allclose(found.explained, variances[::-1] / variances.sum())
    assert found.explained.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.abs(found.axes @ vectors[:, ::-1]), np.eye(5), atol=1e-9)
    assert (found.axes[np.arange(5), np.abs(found.axes).argmax(1)] > 0).all()


def test_mirrored_codes_have_the_same_principal_axes():
    codes = make_codes()
    np.testing.assert_allclose(principal_components(-codes).axes, principal_components(codes).axes, atol=1e-9)


def test_fewer_codes_than_dimensions_have_as_many_components_as_codes():
    found = principal_components(make_codes(count=3))
    assert [x.shape for x in found] == [(5,), (3, 5), (3,), (3,)]
    assert found.deviations[2] == pytest.approx(0.0, abs=1e-6)


def test_coordinates_are_as_spread_as_the_deviations_say_and_around_zero():
    codes = make_codes()
    found = principal_components(codes)
    assert found.project(codes).shape == (60, 2)
    coordinates = found.project(codes, 4)
    np.testing.assert_allclose(coordinates.mean(0), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.cov(coordinates.T), np.diag(np.square(found.deviations[:4])), atol=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_lifting_sets_the_given_coordinates_and_leaves_the_others(dimensions):
    found, base = principal_components(make_codes()), make_codes(20, seed=1)
    coordinates = np.random.default_rng(2).normal(size=(20, dimensions))
    lifted = found.project(found.lift(coordinates, base), 5)
    np.testing.assert_allclose(lifted[:, :dimensions], coordinates, atol=1e-9)
    np.testing.assert_allclose(lifted[:, dimensions:], found.project(base, 5)[:, dimensions:], atol=1e-9)
    np.testing.assert_allclose(found.lift(found.project(base, dimensions), base), base)


def test_one_code_has_no_principal_components():
    with pytest.raises(ValueError, match="2 codes or more, not 1"):
        principal_components(np.ones((1, 3)))


def test_tsne_repeats_by_seed_and_keeps_far_blobs_apart():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(size=(20, 6)), rng.normal(size=(20, 6)) + 50.0]).astype(np.float32)
    picture = tsne(codes, 3)
    assert picture.shape == (40, 2)
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(picture, tsne(codes, 3))
    distances = np.linalg.norm(picture[:, None] - picture, axis=-1) + np.diag(np.full(40, np.inf))
    np.testing.assert_array_equal(distances.argmin(1) < 20, np.arange(40) < 20)


def test_tsne_of_codes_that_are_all_the_same_is_refused():
    with pytest.raises(ValueError, match="all the same"):
        tsne(np.ones((60, 8), np.float32), 0)


def test_answers_that_are_not_finite_are_of_no_class():
    codes, predictions = np.asarray([[0.0], [0.1], [1.0], [1.1]]), np.asarray([0, 0, 1, 1])

    def answer(rows, codes):
        right = np.eye(2)[(codes[:, 0] > 0.5).astype(int)]
        return np.where(codes[:, :1] > 1.05, np.nan, right)

    space = CodeSpace(answer, codes, predictions, 2)
    table = pervasiveness(space, 0)
    assert (table[:, 0] == 1.0).all()
    assert ((table[:, 1] > 0.2) & (table[:, 1] < 0.8)).all()  # one of the two codes of class 1 has no answer
    share, spread = coherency(space, 0)
    assert share[0] == 1.0
    assert 0.0 < share[1] < 1.0
    assert np.isfinite(spread).all()


def test_codes_of_one_number_have_two_coordinates_to_be_drawn_by():
    codes = np.random.default_rng(0).normal(size=(12, 1)).astype(np.float32)
    assert np.isfinite(picture := tsne(codes, 0)).all()
    assert picture.shape == (12, 2)
    components = principal_components(codes)
    np.testing.assert_allclose(components.project(codes), np.pad(codes - codes.mean(), ((0, 0), (0, 1))), atol=1e-6)
    lifted = components.lift(np.asarray([[0.3, 5.0]]), codes[:1])
    np.testing.assert_allclose(lifted, 0.3 * components.axes + components.mean, rtol=1e-5)


def test_tsne_of_four_codes_is_the_least():
    assert np.isfinite(tsne(make_codes(4), 0)).all()
    with pytest.raises(ValueError, match="4 codes or more, not 3"):
        tsne(make_codes(3), 0)


def make_cube(dimensions, count=1500, seed=0):
    """Points of a cube that lies obliquely in 8 dimensions."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    return rng.uniform(size=(count, dimensions)) @ turn[:dimensions]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_intrinsic_dimension_of_a_cube_is_its_own_and_not_the_space_s(dimensions):
    cube = make_cube(dimensions)
    assert intrinsic_dimension(cube) == pytest.approx(dimensions, rel=0.1)  # deviation 0.03
    assert intrinsic_dimension(100.0 * cube - 3.0) == pytest.approx(intrinsic_dimension(cube), rel=1e-6)


def test_the_intrinsic_dimension_by_hand():
    # Ratios of the second to the first distance: 3, 2, 3 / 2.
    assert intrinsic_dimension(np.asarray([[0.0], [1.0], [3.0]])) == pytest.approx(3 / np.log(9.0))


def test_copies_of_a_code_do_not_change_the_intrinsic_dimension():
    cube = make_cube(2, 200)
    assert intrinsic_dimension(np.repeat(cube, 3, axis=0)) == pytest.approx(intrinsic_dimension(cube))
    with pytest.raises(ValueError, match="3 different codes or more, not 2"):
        intrinsic_dimension(np.repeat(np.eye(2), 9, axis=0))


CLASSES = 3  # of which no image is of the last one


def probabilities(classes):
    return np.eye(CLASSES)[np.asarray(classes, int)]


def by_sign(rows, codes):
    return probabilities(codes[:, 0] > 0)


def by_individual(rows, codes):
    return probabilities(rows % 2)


def make_sides(count=80):
    """Codes `[count, 2]` with class 0 left and class 1 right of 0; odd rows are right."""
    rng = np.random.default_rng(0)
    codes = rng.uniform(0.5, 2.0, (count, 2)).astype(np.float32)
    predictions = np.arange(count) % 2
    codes[predictions == 0, 0] *= -1
    return codes, predictions


NAN = np.nan


@pytest.mark.parametrize(
    ("answer", "table"),
    [
        (by_sign, [[1, 1, NAN], [1, 1, NAN], [NAN, NAN, NAN]]),  # the swapped code decides
        (by_individual, [[1, 0, NAN], [0, 1, NAN], [NAN, NAN, NAN]]),  # it does nothing
        (lambda rows, codes: probabilities(rows * 0), [[1, 0, NAN], [1, 0, NAN], [NAN, NAN, NAN]]),
        (lambda rows, codes: probabilities((rows % 2 == 1) & (codes[:, 0] > 0)), [[1, 0, NAN], [1, 1, NAN], [NAN] * 3]),
    ],
)
def test_pervasiveness_is_by_exemplar_and_donor(answer, table):
    np.testing.assert_array_equal(pervasiveness(CodeSpace(answer, *make_sides(), CLASSES), 0), table)


def test_pervasiveness_is_a_share_of_the_swaps():
    codes, predictions = make_sides()
    table = pervasiveness(
        CodeSpace(lambda rows, codes: probabilities(rows % 8 < 4), codes, predictions, CLASSES), 0, swaps=4000
    )
    np.testing.assert_allclose(table[:2, :2], 0.5, atol=0.04)  # deviation 0.008


def test_coherent_codes_have_all_of_the_share_and_no_spread():
    share, spread = coherency(CodeSpace(by_sign, *make_sides(), CLASSES), 0)
    np.testing.assert_array_equal(share, [1, 1, NAN])
    np.testing.assert_array_equal(spread, [0, 0, NAN])


def test_where_individuals_decide_coherency_is_their_share_and_spread():
    def answer(rows, codes):
        first = np.where(rows % 4 == 0, 0.6, 0.2)
        return np.stack([first, 1 - first, 0 * first], axis=1)

    share, spread = coherency(CodeSpace(answer, *make_sides(), CLASSES), 0, codes=20, individuals=2000)
    np.testing.assert_allclose(share, [0.25, 0.75, NAN], atol=0.02)  # deviation 0.002
    np.testing.assert_allclose(spread, [0.4 * np.sqrt(3 / 16)] * 2 + [NAN], atol=0.01)


def test_differences_between_codes_are_no_spread_over_individuals():
    def answer(rows, codes):
        right = 0.5 + codes[:, 0] / 8
        return np.stack([1 - right, right, 0 * right], axis=1)

    share, spread = coherency(CodeSpace(answer, *make_sides(), CLASSES), 0)
    np.testing.assert_array_equal(share, [1, 1, NAN])
    np.testing.assert_allclose(spread, [0, 0, NAN], atol=1e-7)


def test_smoothness_where_the_class_is_convex_or_the_code_ignored():
    np.testing.assert_array_equal(smoothness(CodeSpace(by_sign, *make_sides(), CLASSES), 0), [1, 1, NAN])
    late = lambda rows, codes: probabilities(rows >= 60)  # noqa: E731
    ignored = smoothness(CodeSpace(late, *make_sides(), CLASSES), 0, codes=4000)
    np.testing.assert_allclose(ignored, [0.75, 0.25, NAN], atol=0.04)  # deviation 0.007


def test_smoothness_is_the_share_of_the_class_between_two_codes():
    codes, predictions = np.asarray([[0.0], [1.0], [5.0]], np.float32), np.asarray([0, 0, 1])
    space = CodeSpace(lambda rows, codes: probabilities(codes[:, 0] > 0.25), codes, predictions, CLASSES)
    share = smoothness(space, 0, codes=4000)
    np.testing.assert_allclose(
        share, [0.25, NAN, NAN], atol=0.03
    )  # one code alone has nothing between; deviation 0.007


def test_smoothness_goes_no_farther_than_the_nearest_codes():
    codes = np.concatenate([np.linspace(0, 1, 7), np.linspace(9, 10, 7)]).astype(np.float32)[:, None]
    outside = lambda rows, codes: probabilities((codes[:, 0] > 1) & (codes[:, 0] < 9))  # noqa: E731
    predictions = np.zeros(14, int)
    assert smoothness(CodeSpace(outside, codes, predictions, 1), 0, neighbours=6)[0] == 1.0
    assert smoothness(CodeSpace(outside, codes, predictions, 1), 0, neighbours=7)[0] < 0.98


@pytest.mark.parametrize(
    ("answer", "changes"),
    [
        (by_sign, [1 / 4, 1 / 4]),
        (by_individual, [0, 0]),
        (lambda rows, codes: probabilities((rows == 0) & (codes[:, 0] > 0)), [1 / 4, 0]),  # by the one at the start
        (lambda rows, codes: probabilities(np.floor(codes[:, 0] + 0.5).astype(int) % 2), [4 / 4, 4 / 4]),
    ],
)
def test_roughness_counts_changes_per_length(answer, changes):
    codes = np.asarray([[-1.0, 2.0], [3.0, 2.0]], np.float32)
    found = path_roughness(CodeSpace(answer, codes, np.asarray([0, 1]), CLASSES), 0)
    np.testing.assert_allclose(found, [*changes, NAN])


def test_roughness_weighs_paths_by_their_length():
    codes, predictions = make_sides()
    codes[:, 1] = 0.0
    found = path_roughness(CodeSpace(by_sign, codes, predictions, CLASSES), 0, paths=4000)
    np.testing.assert_allclose(found[:2], 1 / (codes[1::2, 0].mean() - codes[::2, 0].mean()), rtol=0.02)


def test_roughness_of_a_single_class_is_unknown():
    codes = make_sides()[0]
    np.testing.assert_array_equal(path_roughness(CodeSpace(by_sign, codes, np.ones(80, int), CLASSES), 0), [NAN] * 3)


@pytest.mark.parametrize("claim", [pervasiveness, coherency, smoothness, path_roughness])
def test_claims_ask_the_same_by_seed_for_rows_that_exist(claim):
    codes, predictions = make_sides()

    def asked(seed):
        questions = []

        def answer(rows, codes):
            questions.append((rows, codes))
            return by_sign(rows, codes)

        claim(CodeSpace(answer, codes, predictions, CLASSES), seed)
        return tuple(np.concatenate(parts) for parts in zip(*questions, strict=True))

    rows, drawn = asked(1)
    assert set(rows) <= set(range(80))
    assert drawn.shape == (len(rows), 2)
    assert drawn.dtype == np.float32
    for once, again in zip((rows, drawn), asked(1), strict=True):
        np.testing.assert_array_equal(once, again)
    assert (rows != asked(2)[0]).any()


def make_rectangle(left, top, width, height, shape=(10, 16, 3)):
    image = np.zeros(shape, np.float32)
    image[top : top + height, left : left + width] = 1.0
    return image


def properties_of(*images):
    return [dict(zip(PROPERTIES, row, strict=True)) for row in measure_properties(np.stack(images))]


def test_properties_of_a_bright_rectangle_by_hand():
    (found,) = properties_of(make_rectangle(left=3, top=1, width=6, height=4))
    brightness = 24 / 160
    # The mean over pixel pairs: 2 edges, each as long as the rectangle's other side.
    sharpness = (2 * 6 / (9 * 16) + 2 * 4 / (10 * 15)) / 2
    assert found == pytest.approx(
        {
            "brightness": brightness,
            "contrast": np.sqrt(brightness * (1 - brightness)),
            "sharpness": sharpness,
            # The corner at the bottom right has both differences in one pixel.
            "stroke width": 2 * 24 / (2 * (6 + 4) - 2 + np.sqrt(2)),
            "horizontal position": 6 / 16,
            "vertical position": 3 / 10,
            "width": np.sqrt((6**2 - 1) / 12) / 16,
            "height": np.sqrt((4**2 - 1) / 12) / 10,
        }
    )


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"left": 9}, {"horizontal position"}),
        ({"top": 5}, {"vertical position"}),
        ({"left": 2, "top": 2, "width": 4, "height": 3}, {"width", "height"}),
    ],
)
def test_moving_and_turning_change_only_the_properties_named_so(changed, names):
    rectangle = {"left": 2, "top": 2, "width": 3, "height": 4}
    before, after = properties_of(make_rectangle(**rectangle), make_rectangle(**rectangle | changed))
    differing = {name for name in PROPERTIES if not np.isclose(before[name], after[name], rtol=1e-9)}
    # A turned rectangle's centre moves by half a pixel in both directions; its edges have other shares.
    also = {"horizontal position", "vertical position", "sharpness"} if "width" in changed else set()
    assert differing == names | also


def test_stripes_are_sharper_than_a_ramp_and_dimmed_images_stay_in_place():
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[None, :, None], (10, 16, 1))
    stripes = np.broadcast_to((np.arange(16, dtype=np.float32) % 2)[None, :, None], (10, 16, 1))
    (smooth, sharp, dim) = properties_of(ramp, stripes, ramp / 4)
    assert [smooth["sharpness"], sharp["sharpness"]] == pytest.approx([1 / 30, 1 / 2])
    for name in PROPERTIES:
        scale = 1 / 4 if name in ("brightness", "contrast", "sharpness") else 1
        assert dim[name] == pytest.approx(scale * smooth[name])


@pytest.mark.parametrize("ground", [0.0, 0.3])
@pytest.mark.parametrize("thickness", [1, 2, 4])
def test_a_long_stroke_is_as_wide_as_it_is_on_any_ground(thickness, ground):
    image = np.full((400, 20, 1), ground)
    image[2:398, 8 : 8 + thickness] = 0.9
    (found,) = properties_of(image)
    assert found["stroke width"] == pytest.approx(thickness, rel=0.02)


def test_a_black_image_is_in_the_middle_and_has_no_extent():
    np.testing.assert_array_equal(measure_properties(np.zeros((1, 4, 6, 3))), [[0, 0, 0, 0, 0.5, 0.5, 0, 0]])


def test_rank_correlations_are_spearman_s():
    rng = np.random.default_rng(0)
    coordinates = rng.normal(size=(50, 2))
    properties = np.concatenate([coordinates + rng.normal(size=(50, 2)), rng.integers(0, 4, (50, 1))], axis=1)
    found = rank_correlations(coordinates, properties)
    for row, column in np.ndindex(2, 3):
        assert found[row, column] == pytest.approx(spearmanr(coordinates[:, row], properties[:, column]).statistic)
    growing = rank_correlations(coordinates, np.exp(3 * coordinates) * [1, -1])
    np.testing.assert_allclose(np.diag(growing), [1, -1])


def test_what_does_not_vary_correlates_with_nothing():
    varying, constant = np.arange(9.0)[:, None], np.full((9, 1), 0.1)
    both = np.concatenate([varying, constant], axis=1)
    np.testing.assert_allclose(rank_correlations(both, both), [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("claim", "images"), [(pervasiveness, 4), (coherency, 30), (smoothness, 1), (path_roughness, 33)]
)
def test_claims_decode_no_more_images_than_they_may_but_one_draw_a_class(claim, images):
    codes, predictions = make_sides()

    def asked(most):
        count = 0

        def answer(rows, codes):
            nonlocal count
            count += len(rows)
            return by_sign(rows, codes)

        claim(CodeSpace(answer, codes, predictions, CLASSES), 0, most=most)
        return count

    assert asked(1) <= CLASSES * images
    assert 50 < asked(150) <= 150
    assert asked(10**9) == asked(200_000)
