"""Rows as tests need them, made without torch."""

from simulator.results.rows import Row


def row(image="a", realisation=0, psnr_db=30.0, snr_db=0.0, scheme="s", outage=False, lpips=None):
    """A row of a finished trip; its key tells scheme, image, realisation and SNR."""
    return Row(
        key=f"{scheme}{image}{realisation}{snr_db}",
        scheme=scheme,
        channel="awgn",
        snr_db=snr_db,
        cbr_target=1 / 16,
        image=image,
        realisation=realisation,
        snr_db_realised=snr_db,
        psnr_db=psnr_db,
        ms_ssim=None,
        lpips=lpips,
        outage=outage,
        cbr=0.06,
        cbr_payload=0.05,
        payload=50,
        side_information=0,
        header=10,
        crc=0,
        padding=0,
        pilots=0,
        encode_s=0.1,
        decode_s=0.1,
    )
