"""Words for people in place of specifications."""

import pytest

from simulator.analysis.words import billed_words, channel_words, column_words, file_words, scheme_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("awgn", "AWGN"),
        ("awgn:assumed_db=10", "AWGN, 10 dB assumed"),
        ("tdl-c:speed_kmh=60:csi=lmmse", "TDL-C, 60 km/h, LMMSE"),
        ("rician:K=3", "Rician, K = 3 dB"),
        ("uma", "UMa"),
        (
            "awgn:spread=dft:waveform=ofdm:pa=rapp:backoff_db=4",
            "AWGN, DFT-spread, OFDM waveform, Rapp amplifier, 4 dB back-off",
        ),
        ("mine:depth=3:deep", "mine, depth = 3, deep"),
    ],
)
def test_channels(name, words):
    assert channel_words(name) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lrisc", "LRISC"),
        ("lrisc:gamma=0", "LRISC, gamma = 0"),
        ("lrisc:weights=weights/ablations/no-lpips", "LRISC, weights no-lpips"),
        ("bpg-ldpc:16qam-1/2", "BPG + LDPC, 16-QAM 1/2"),
        ("bpg-ldpc:adaptation=genie", "BPG + LDPC, genie"),
        ("mine:a=1", "mine:a=1"),
    ],
)
def test_schemes(name, words):
    assert scheme_words(name) == words


def test_names_of_files_have_no_signs_that_a_shell_reads():
    assert file_words("psnr", "vs", "snr", "TDL-C, 60 km/h, LMMSE", "CBR 1/16") == (
        "psnr-vs-snr-tdl-c-60-kmh-lmmse-cbr-1-16"
    )
    assert file_words("a", "$E_s/N_0$ = 2.5 dB") == "a-snr-2.5-db"
    assert (
        file_words("a", "$E_s/N_0$ = -2.5 dB", channel_words("rician:K=-3")) == "a-snr-minus-2.5-db-rician-k-minus-3-db"
    )


def test_what_pilots_cost_is_said_where_there_are_pilots():
    assert billed_words([(0.0625, 0.0625)]) == ""
    assert billed_words([(0.084, 0.0625), (0.0841, 0.0625)]) == " (billed 0.084 with pilots)"
    assert billed_words([(0.073, 0.0625), (0.084, 0.0625)]) == " (billed 0.073 to 0.084 with pilots)"
    assert billed_words([(0.0625, 0.0625), (0.084, 0.0625)]) == " (billed up to 0.084 with pilots)"


def test_an_axis_names_the_direction_that_is_better_where_it_is_known():
    assert column_words("psnr_db") == "PSNR (dB), higher is better"
    assert column_words("ssimulacra2") == "SSIMULACRA2, higher is better"
    assert column_words("lpips", ["alex"]) == "LPIPS (AlexNet), lower is better"
    assert [column_words("mine", directions={"mine": up}) for up in (True, False)] == [
        "mine, higher is better",
        "mine, lower is better",
    ]
    assert column_words("payload") == "payload"
    assert column_words("amplifier_db") == "Amplifier's mean output power (dB of saturation)"
    assert column_words("encode_s") == "Encoding time per image (s)"
