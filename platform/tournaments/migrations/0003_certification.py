from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tournaments', '0002_extraction'),
    ]

    operations = [
        migrations.AlterField(
            model_name='round',
            name='game',
            field=models.CharField(choices=[('evasion', 'Evasion'), ('minimum_norm', 'Minimum-norm'), ('transfer', 'Transfer'), ('poisoning', 'Poisoning'), ('extraction', 'Extraction'), ('certification', 'Certification')], max_length=16),
        ),
    ]
