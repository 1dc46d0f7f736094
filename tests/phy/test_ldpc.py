import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.errors import UserError
from simulator.phy.kernels import limited_threads
from simulator.phy.ldpc import LayeredDecoder, SionnaDecoder, encode, ldpc_code
from simulator.phy.waterfall import received_blocks


def test_encoder_bits_are_sionnas_reference_vectors(golden, unpack):
    for vector in golden["encoder"]:
        code = ldpc_code(vector["info_bits"], vector["coded_bits"], vector["base_graph"])
        coded = encode(code, unpack(vector["bits"], code.info_bits)[None])[0]
        assert np.array_equal(coded, unpack(vector["codeword"], code.coded_bits)), vector["info_bits"]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2]), st.integers(3, 1056), st.floats(0.21, 0.92), st.integers(0, 2**32))
def test_encoder_is_sionnas_for_any_size(base_graph, info_bytes, rate, seed):
    import torch
    from sionna.phy.fec.ldpc import LDPC5GEncoder

    info_bits = 8 * info_bytes
    assume(info_bits <= 3840 if base_graph == 2 else rate > 1 / 3)
    code = ldpc_code(info_bits, int(info_bits / rate), base_graph)
    bits = np.random.default_rng(seed).integers(0, 2, (2, info_bits)).astype(np.uint8)
    reference = LDPC5GEncoder(info_bits, code.coded_bits, bg=f"bg{base_graph}")
    assert np.array_equal(encode(code, bits), reference(torch.tensor(bits, dtype=torch.float32)).numpy())


@pytest.mark.parametrize(("shape", "bits_per_symbol", "snr_db"), [((128, 176, 2), 2, 4.0), ((328, 412, 1), 4, 11.5)])
def test_frame_outcomes_agree_with_sionnas_layered_decoder(shape, bits_per_symbol, snr_db):
    """Where about a fifth of the blocks fail; a few may differ, as Sionna goes on where we stop at a codeword."""
    code = ldpc_code(*shape)
    bits, llrs = received_blocks(code, bits_per_symbol, snr_db, 120, np.random.default_rng(5))
    ours = (LayeredDecoder().decode(code, llrs).bits != bits).any(axis=1)
    theirs = (SionnaDecoder().decode(code, llrs).bits != bits).any(axis=1)
    assert 10 <= theirs.sum() <= 60
    assert np.count_nonzero(ours != theirs) <= 2


def test_no_more_errors_than_sionnas_default_decoder():
    code = ldpc_code(128, 176, 2)
    bits, llrs = received_blocks(code, 2, 4.0, 300, np.random.default_rng(6))
    ours = (LayeredDecoder().decode(code, llrs).bits != bits).any(axis=1).sum()
    flooding = SionnaDecoder(schedule="flooding", check_node="boxplus-phi")
    theirs = (flooding.decode(code, llrs).bits != bits).any(axis=1).sum()
    assert ours <= 1.5 * theirs + 5


def test_result_depends_on_neither_batch_nor_threads():
    code = ldpc_code(512, 1024, 2)
    _, llrs = received_blocks(code, 2, 0.9, 33, np.random.default_rng(1))
    decoder = LayeredDecoder()
    alone = [decoder.decode(code, row[None]) for row in llrs]
    for threads in (1, 2):
        with limited_threads(threads):
            together = decoder.decode(code, llrs)
        assert np.array_equal(together.bits, np.concatenate([d.bits for d in alone]))
        assert np.array_equal(together.iterations, np.concatenate([d.iterations for d in alone]))
    assert 1 < together.iterations.min() < together.iterations.max() == 20


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.floats(0.04, 0.67), st.integers(0, 2**32))  # above, base graph 2 serves long blocks only
def test_noise_free_round_trip_with_and_without_repetition(info_bytes, rate, seed):
    info_bits = 8 * (info_bytes + 2)
    code = ldpc_code(info_bits, int(info_bits / rate), 2)
    bits = np.random.default_rng(seed).integers(0, 2, (3, info_bits)).astype(np.uint8)
    llrs = 8 * (2 * encode(code, bits).astype(np.float32) - 1)
    decoded = LayeredDecoder().decode(code, llrs)
    assert np.array_equal(decoded.bits, bits)


def test_repetition_gains_what_its_energy_is_worth():
    # Sent twice, a code block stands 3 dB more noise.
    once, twice = ldpc_code(80, 640, 2), ldpc_code(80, 1280, 2)
    assert len(once.circular_buffer) == 640
    bits, llrs = received_blocks(twice, 2, -7.51, 400, np.random.default_rng(2))
    repeated = (LayeredDecoder().decode(twice, llrs).bits != bits).any(axis=1).mean()
    bits, llrs = received_blocks(once, 2, -4.5, 400, np.random.default_rng(3))
    single = (LayeredDecoder().decode(once, llrs).bits != bits).any(axis=1).mean()
    assert repeated == pytest.approx(single, abs=3.5 * np.sqrt(2 * 0.25 / 400))
    assert 0.02 < single < 0.9


def test_sionna_refuses_rates_it_does_not_know():
    code = ldpc_code(80, 736, 2)
    with pytest.raises(UserError, match="80 bits"):
        SionnaDecoder().decode(code, np.zeros((1, 736), np.float32))


def test_sionna_leaves_torchs_generator_alone():
    import torch

    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    SionnaDecoder(max_iterations=1).decode(ldpc_code(24, 60, 2), np.ones((1, 60), np.float32))
    assert torch.equal(torch.rand(3), expected)


def test_decoding_leaves_the_threads_of_torch_alone():
    """Numba's threading layer would reset them, and with them the last bits of every network."""
    script = (
        "import numpy as np, torch; from simulator.phy.ldpc import LayeredDecoder, ldpc_code; torch.set_num_threads(1);"
        "LayeredDecoder().decode(ldpc_code(512, 1024, 2), np.ones((65, 1024), np.float32));"
        "assert torch.get_num_threads() == 1"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
